"""What people said, to and from other tools.

    formats        which there are; `export` and `read`
    labels         tasks, judgments and people; answers that are checked as they are read
    privacy        what never leaves: names, addresses, small groups
    writing        files of JSON
    losses         what a format cannot hold
    blind          what tools are given in which others label
    preflab_files  preflab's own files: everything, and back
    trl            TRL: preference and prompt-completion; out only (``rankings=files`` reads it)
    argilla        records of Argilla 2, and settings of their dataset
    label_studio   tasks of Label Studio with annotations, and the layout of their page
    fastchat       votes of Chatbot Arena; in only

``data=files`` reads the exports of the same tools as training data, where only (better, worse)
pairs matter. Here ties, skips, ratings, flags and who said it come along. Both read names of fields
and orders of answers by the same code (`preflab_builtin.files.annotated`).
"""
