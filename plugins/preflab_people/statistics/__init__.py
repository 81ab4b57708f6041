"""What people's judgments say and how sure it is: pure functions of `preflab_people.judgments`.

    votes        judgments as votes: who judged which pair, response or flag how
    agreement    do people agree, by three stated definitions, within and between groups
    resampling   intervals of what is not a mean: other prompts, other people, both
    quality      a person's record, for the researcher: agreement, retests, gold, habits
    position     does the place on the page decide
    comparison   win rates of runs, Likert means and flags by run, length gap
    strengths    Bradley-Terry strengths of three or more runs
    judges       does a reward model or a simulated labeler judge as people do
    progress     pace, hours left, who shares prompts with whom
    planning     how much labeling decides what
    summary      all of it as values for a frozen round and as tables for a terminal

An interval is always about other prompts (or about other groups of prompts, such as debates, where
there are groups), because pairs of one prompt depend on each other. Where people are a sample too,
a second interval says so. Every result carries its definition as a sentence: agreement without it
means nothing.
"""
