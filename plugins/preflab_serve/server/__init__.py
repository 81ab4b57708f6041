"""The server of OpenAI's API.

    app      everything behind one gate      access   hosts, keys, headers
    routes   what each address answers       fields, asked   what a request may say
    shapes   answers in the forms that clients read

The gate and the sockets are those of `preflab_people.server`. Importing this package needs nothing;
its modules need the extra ``serve``.
"""
