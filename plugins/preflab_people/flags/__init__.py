"""A guard that is trained on the flags that people set: a sequence classifier with a label for each
flag, which ``guard=classifier`` reads.

    rows        the texts of a frozen round, or of a file, with the flags of each
    dividing    what trains and what is held out; which flags have enough of both
    training    the classifier, from any policy
    making      both together: trained, and measured as it will be used
    measuring   precision, recall and the area under the curve of the held-out texts
    folder      the model folder, with its report, and the words that put it around a run
"""
