"""Remove each safeguard of people's labels, one at a time, and see a test fail: part of ``make
label-test``, as ``tests/reliability/unfix.py`` is of ``make reliability``. Words on the command
line choose by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutants import main
from mutations import Mutant

STORE, HERE = "plugins/preflab_people/store", "tests/people/store"
DATABASE, SCHEMA, SUBMISSIONS, LEASES, ASSIGNMENT, ERASING, EVENTS = (
    f"{STORE}/{name}.py"
    for name in (
        *("database", "schema", "submissions", "leases"),
        *("assignment", "erasing", "events"),
    )
)
ON_DISK, ASSIGNED, SUBMITTED, ERASED = (
    f"{HERE}/test_{name}.py" for name in ("database", "assignment", "submissions", "erasing")
)
MIGRATING = f"{STORE}/migrating.py"
DURABLE = f"{ON_DISK}::test_every_connection_is_durable_and_overwrites_what_it_deletes"
REFUSED = f"{ON_DISK}::test_the_database_itself_refuses_two_valid_answers_and_a_key_twice[sqlite]"
FORGOTTEN = f"{ERASED}::test_nothing_of_a_forgotten_person_is_left"

SAFEGUARDS = (
    # nothing is lost, nothing is there twice
    Mutant("idempotency key: a repetition is not known", SUBMISSIONS, "if (first := _first_with_key(connection, labeler, sent)) is not None:", "if (first := None) is not None:", f"{SUBMITTED}::test_the_same_key_is_one_answer[sqlite]"),
    Mutant("idempotency key: it may be in the history twice", SCHEMA, '    UniqueConstraint("key", name="events_key"),\n', "", REFUSED),
    Mutant("BEGIN IMMEDIATE: a transaction begins without its turn", DATABASE, 'preflab_begin="BEGIN IMMEDIATE"', 'preflab_begin="BEGIN"', f"{ON_DISK}::test_a_transaction_that_will_write_has_its_turn_from_the_start"),
    Mutant("unique index: two valid answers to a task", SCHEMA, "events.c.task, events.c.labeler, unique=True)", "events.c.task, events.c.labeler, unique=False)", REFUSED),
    Mutant("lease count: a lease is no judgment to come", LEASES, "        tasks.count(connection, task, open=-1)\n", "        pass\n", f"{ASSIGNED}::test_a_lease_counts_as_a_judgment_to_come[sqlite]"),
    Mutant("synchronous=FULL: a commit does not wait for the disk", DATABASE, '"synchronous = FULL"', '"synchronous = NORMAL"', DURABLE),
    Mutant("a late answer is taken beyond what is wanted", SUBMISSIONS, 'if has_place and not had_place and lease["counts"] and task["open"] <= 0:', "if False:", f"{ASSIGNED}::test_a_late_answer_is_kept_if_its_task_still_wants_it[sqlite]"),
    Mutant("a second tab gets another task", ASSIGNMENT, "for mine in (_own, _begun):", "for mine in (_begun,):", f"{ASSIGNED}::test_a_second_tab_and_a_restart_show_the_same_task_and_draft[sqlite]"),
    Mutant("held-out people take the places of others", LEASES, 'bool(person["held_out"])', "False", f"{HERE}/test_held_out.py::test_they_judge_every_task_and_take_nobodys_place[sqlite]"),
    Mutant("what lapsed is given to nobody", LEASES, 'tasks.locked(connection, lease["task"]), open=1)', 'tasks.locked(connection, lease["task"]), open=0)', f"{ASSIGNED}::test_a_silent_page_loses_its_task_and_a_renewed_one_does_not[sqlite]"),
    Mutant("a clock set back keeps tasks for a day", LEASES, 'or_(LEASES.until <= bindparam("now"), LEASES.until > bindparam("latest"))', 'or_(LEASES.until <= bindparam("now"), LEASES.until > 1e12 + bindparam("latest"))', f"{ASSIGNED}::test_after_the_clock_was_set_back_leases_begin_anew"),
    Mutant("an answer comes after the end of its round", SUBMISSIONS, "        return Receipt(first, repeated=True)\n    assignment.refuse_if_closed(connection)\n", "        return Receipt(first, repeated=True)\n", f"{HERE}/test_store.py::test_a_closed_round_takes_no_answers[sqlite]"),
    Mutant("two servers on one store", DATABASE, "                lock.acquire(timeout=0)\n            except Timeout:\n", "                pass\n            except Timeout:\n", f"{ON_DISK}::test_there_is_one_server[sqlite]"),
    Mutant("a refused answer leaves half of itself among those written with it", f"{STORE}/together.py", "with connection.begin_nested():", "if True:", f"{HERE}/test_together.py::test_a_refusal_takes_nothing_with_it"),
    Mutant("an answer is confirmed that is not on disk", f"{STORE}/together.py", "piece.error, piece.done = error, True", "piece.done = True", f"{HERE}/test_together.py::test_what_could_not_be_put_on_disk_is_confirmed_to_nobody"),
    # the history
    Mutant("chain: a line does not depend on the one before", EVENTS, "json.dumps([LINE, before, facts]", 'json.dumps([LINE, "", facts]', f"{HERE}/test_events.py"),
    Mutant("chain: what was said can be guessed by its digest", EVENTS, "json.dumps(body or {}, sort_keys=True), secrets.token_hex(16)", 'json.dumps(body or {}, sort_keys=True), ""', f"{ERASED}::test_a_digest_in_the_history_does_not_give_a_short_answer_away"),
    # stores that an earlier preflab made
    Mutant("an earlier store is changed without a copy of it", MIGRATING, "        backup(database, copy)\n", "        pass\n", f"{HERE}/test_migrating.py::test_a_copy_is_kept_as_it_was"),
    Mutant("an earlier store is changed under its server", MIGRATING, "    database.serve()\n", "    pass\n", f"{HERE}/test_migrating.py::test_an_earlier_form_is_not_changed_under_a_server[sqlite]"),
    Mutant("an earlier store is not compared with its history", MIGRATING, "if problems := verifying.problems(connection, settings):", "if problems := ():", f"{HERE}/test_migrating.py::test_what_cannot_be_brought_here_is_refused_with_the_cure"),
    # what people may rely on
    Mutant("forget: what was said stays", ERASING, "    connection.execute(delete(schema.bodies).where(BODIES.event.in_(said)))\n", "", FORGOTTEN),
    Mutant("forget: drafts stay", ERASING, "    drafts.drop(connection, labeler)\n", "", FORGOTTEN),
    Mutant("forget: the answers of the survey stay", f"{STORE}/store.py", "            survey.forget(self.names.path.with_name(survey.FILE), labeler)\n", "", FORGOTTEN),
    Mutant("forget: the journal is not written over", ERASING, '"PRAGMA wal_checkpoint(TRUNCATE)"', '"SELECT 0, 0, 0"', FORGOTTEN),
    Mutant("deleted words are not overwritten", DATABASE, '"secure_delete = ON"', '"secure_delete = OFF"', DURABLE),
    Mutant("everybody on the machine reads the labels", DATABASE, "os.O_CREAT | os.O_RDWR, 0o600", "os.O_CREAT | os.O_RDWR, 0o644", f"{HERE}/test_names.py::test_names_are_for_their_owner_alone_and_nowhere_else"),
)  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main(SAFEGUARDS))
