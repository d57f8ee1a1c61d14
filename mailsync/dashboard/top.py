"""The top of the page: the sentence, what is to be done, and five numbers."""

from __future__ import annotations

from mailsync.dashboard.elements import code, icon
from mailsync.dashboard.facts import Facts, Level, MailStatus, Task, Verdict
from mailsync.dashboard.markup import Child, Markup, several, tag
from mailsync.dashboard.said import age, brief, count, when


def verdict(said: Verdict, facts: Facts) -> Markup:
    """The sentence, since when, and what is to be done."""
    return tag(
        "section",
        tag(
            "div",
            tag("p", icon(said.level), tag("strong", said.word), class_="word"),
            tag("h1", said.sentence, id="sentence"),
            tag("p", said.detail, class_="detail") if said.detail else None,
            tag("p", _since(said, facts), class_="since"),
            class_="said",
        ),
        _tasks(said.tasks, said.level),
        id="verdict",
        class_=f"verdict {said.level}",
        aria_labelledby="sentence",
    )


def _since(verdict: Verdict, facts: Facts) -> Markup:
    said: list[Child] = []
    if verdict.since is not None:
        if verdict.level is Level.GOOD and facts.mail is not None and verdict.since <= facts.mail.hours[0].start:
            said.append("Nothing has stood in its way for 24 hours.")
        elif verdict.level is Level.GOOD:
            said += ["Nothing has stood in its way since ", when(verdict.since), "."]
        else:
            said += ["Since ", when(verdict.since), ", ", age(verdict.since, facts.made), "."]
    if facts.mailboxes is None:
        return several(*said)
    said += [" Last email written: ", age(facts.last_written, facts.made), "."]
    said += [" Last look through a mailbox: ", age(facts.last_swept, facts.made), "."]
    return several(*said)


def _tasks(tasks: tuple[Task, ...], level: Level) -> Markup:
    if not tasks:
        text = "Nothing is to be done." if level is Level.GOOD else "Nothing is to be done; the rest comes by itself."
        return tag("p", icon(Level.GOOD), text, class_="todo none")
    return tag(
        "div",
        tag("h2", "What to do", class_="unseen"),
        tag("ol", [_task(task) for task in tasks], class_="tasks"),
        class_="todo",
    )


def _task(task: Task) -> Markup:
    where = (
        tag("a", "Look", tag("span", f" at {task.where}", class_="unseen"), href=f"#{task.where}")
        if task.where
        else None
    )
    return tag(
        "li",
        icon(task.level),
        tag(
            "div",
            tag("p", tag("b", task.title), "." if not task.title.endswith(".") else "", class_="what"),
            tag("p", code(task.do), " ", where, class_="do"),
        ),
        tag(
            "p",
            tag("span", task.who, class_="who"),
            tag("span", "since ", when(task.since), class_="soft") if task.since is not None else None,
            class_="by",
        ),
        class_=f"task {task.level}",
    )


def figures(facts: Facts) -> Markup:
    """Five numbers, each beside what it is to be held against."""
    mail, queues, aside, proof = facts.mail, facts.queues, facts.aside, facts.proof
    waits = [queue for queue in queues or () if not queue.is_poison]
    waiting = sum(queue.waiting for queue in waits)
    oldest = min((queue.oldest for queue in waits if queue.oldest is not None), default=None)
    return tag(
        "ul",
        _figure("Into Dataverse, 24 hours", mail and count(mail.day.in_dataverse), _compared(mail)),
        _figure("Time to Dataverse", mail and brief(mail.seconds_median), _slowest(mail)),
        _figure(
            "Waiting now",
            queues is not None and count(waiting),
            several("the oldest came ", age(oldest, facts.made)) if oldest is not None else "nothing waits its turn",
        ),
        _figure(
            "Put aside",
            aside is not None and f"{count(aside.waiting)}{'+' if aside.is_more else ''}",
            "wait for somebody" if aside and aside.waiting else "nobody is waited for",
            level=Level.ATTENTION if aside and aside.waiting else Level.GOOD,
        ),
        _figure(
            "Unexplained",
            proof is not None and ("?" if proof.made is None else count(proof.unexplained)),
            several("proved ", age(proof.made, facts.made)) if proof and proof.made else "no proof yet",
            level=Level.GOOD if proof and proof.made and not proof.unexplained else Level.ATTENTION,
        ),
        class_="figures",
        aria_label="In short",
    )


def _figure(name: str, number: object, beside: Child, *, level: Level | None = None) -> Markup:
    is_read = number not in (None, False)
    return tag(
        "li",
        tag("span", name, class_="of"),
        tag("span", number if is_read else "?", class_=f"number {level or ''}".strip()),
        tag("span", beside if is_read else "could not be read", class_="beside"),
    )


def _compared(mail: MailStatus | None) -> str:
    return f"{count(mail.week.in_dataverse)} in seven days" if mail is not None else ""


def _slowest(mail: MailStatus | None) -> str:
    if mail is None or mail.seconds_most is None:
        return "none in 24 hours"
    return f"median; 95% within {brief(mail.seconds_most)}"
