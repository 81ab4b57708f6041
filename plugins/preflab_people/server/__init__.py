"""The pages on which people label, and their server.

    settings   how a round is served         serving    from here until it is interrupted
    listening  sockets and uvicorn
    app        everything behind one gate    rules      the gate: hosts, origins, sizes, headers
    sessions   cookies, rate limits          requests   what the pages may send
    api        what they ask and tell        places     between a task and a page
    pages      shells in every language      markdown   instructions without HTML

Importing this package needs nothing; its modules need the extra ``label``.
"""
