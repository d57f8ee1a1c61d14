"""What is broken, one thing at a time, to see that a case of the corpus notices: a rule, a branch, a limit, a word.

`test_mutations` breaks each; `mutation` says how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mapping.attachments import Why
from tests.corpus.mutation import Constant, Edit, Mutation, of_the_chain


def _without(part: str) -> Callable[[re.Pattern[str]], re.Pattern[str]]:
    """An expression that no longer knows one of its words."""
    return lambda pattern: re.compile(pattern.pattern.replace(part, "", 1), pattern.flags)


PEOPLE = (
    Edit("matches", "an inactive row is as good as an active one", "(not one.active, rank", "(False, rank", times=2),
    Edit("matches", "the table goes before activity", "(not one.active, rank[one.table])",
         "(rank[one.table], not one.active)", times=2),
    Edit("matches", "tables have no precedence", "rank[one.table])", "0)", times=2),
    Edit("matches", "the policy's precedence counts for nothing", "enumerate(people.precedence)",
         "enumerate(sorted(people.precedence))"),
    Edit("matches", "of a tie the column counts for nothing", "(candidate.column, candidate.id)", "(0, candidate.id)"),
    Edit("matches", "of a tie the id counts for nothing", "(candidate.column, candidate.id)", "(candidate.column, '')"),
    Edit("matches", "a tie is always resolved", 'people.tie == "unresolved"', "False"),
    Edit("matches", "a tie is never resolved", 'people.tie == "unresolved"', "True"),
    Edit("matches", "a user is a stranger", "match.table in OUR_TABLES:", "False:"),
    Edit("matches", "an own domain is a stranger's", " or domain_of(address) in organisation.domains", ""),
    Edit("matches", "a connected mailbox is a stranger's", "organisation.is_mailbox(address) or domain_of", "domain_of"),
    Edit("matches", "an alias is no mailbox", "return self.aliases.get(own, own)", "return own"),
    Edit("matches", "a mailbox with a tag is none", " or without_tag(address) in self.mailboxes)", ")"),
    Edit("addresses", "a tag makes another person", "{local.partition('+')[0] or local}", "{local}"),
    Edit("addresses", "capitals make another person", "local = local.strip().lower()", "local = local.strip()"),
    Edit("addresses", "an international domain is not spelled in one way", "if domain.isascii() or", "if True or"),
    Edit("addresses", "mailto: is part of an address", 'text[:7].lower() == "mailto:"', "False"),
    Edit("addresses", "quotes are part of an address", "text[0] == text[-1] and", "False and"),
    Edit("addresses", "brackets are part of an address", "if bracketed := _BRACKETED.findall(text):", "if bracketed := []:"),
    Edit("addresses", "what nobody sees is part of an address", ".strip(_INVISIBLE)", ""),
    Edit("addresses", "a dot at the end makes another domain", '.rstrip(".").lower()', ".lower()"),
    Edit("addresses", "a page of text is an address", "len(address) <= _LONGEST_TEXT", "True"),
    Edit("addresses", "a free provider's domain is the organisation's", "domains - _FREE_MAIL", "domains"),
    Edit("parties", "who reads along is a recipient", "(Role.CC, message.cc)", "(Role.TO, message.cc)"),
    Edit("parties", "who is hidden is left out", ", (Role.BCC, message.bcc))", ")"),
    Edit("parties", "a person named twice is two", "key and key not in seen", "key"),
    Edit("parties", "a party is never bound", "        if self.match is not None:", "        if False:"),
    Edit("parties", "a party loses its address", 'row["addressused"] = self.address', "pass"),
    Edit("parties", "a stranger loses the name", "if self.match is None and self.name:", "if False:"),
    Edit("parties", "a bound party keeps a name besides", "if self.match is None and self.name:", "if self.name:"),
    Edit("parties", "a long name is not cut", "fit(self.name, LONGEST_NAME)", "self.name"),
    Edit("parties", "a long address is not left out", "if address and units_of(address) <= LONGEST_ADDRESS:", "if address:"),
    Edit("parties", "somebody without address or row is a party",
         "if party.address is not None or party.match is not None", "if True"),
    Edit("groups", "a group stays closed", "if changed else message", "if False else message"),
    Edit("mapper", "the addresses in the column are not cut", "units_of(longer) > LONGEST_TORECIPIENTS", "False"),
    Edit("mapper", "those who read along stand in the column", "party.role is Role.TO and", "party.role is not Role.SENDER and"),
    Edit("mapper", "an address with a semicolon stands in the column", ' and ";" not in party.address', ""),
    Edit("mapper", "a sender too long for the column is cut to nothing less",
         "units_of(address) <= LONGEST_SENDER", "True"),
)  # fmt: skip

DIRECTION = (
    Edit("direction", "a connected mailbox is no sender of ours", "organisation.is_mailbox(address) or (", "("),
    Edit("direction", "a user or queue is no sender of ours", "match.table in OUR_TABLES)", "False)"),
    Edit("direction", "a Sent folder says nothing", 'if copy.lies_in("sent"):', "if False:"),
    Edit("direction", "in a Sent folder the sender is whoever From names", "own = matches.get(copy.mailbox)", "own = match"),
    Edit("direction", "in a Sent folder nobody is nobody", "written or copy.mailbox", "written"),
    Edit("direction", "the first sender is the sender, whatever the address",
         "next((one for one in named if normalise(one.email)), None)", "None"),
    Edit("direction", "a folder's attribute is spelt in one way", 'written.lower().lstrip("\\\\")', "written"),
    Edit("mapper", "all mail came in", "Direction.OUTGOING if sender.is_ours else", "Direction.OUTGOING if False else"),
    Edit("email_activity", "what came in was sent", "_SENT if", "_SENT if True or"),
    Edit("email_activity", "what went out was received", "_SENT if", "_RECEIVED if"),
)  # fmt: skip

OWNER = (
    Edit("owner", "the sender owns nothing", "if sender.is_ours and sender.own_address is not None:", "if False:"),
    Edit("owner", "users among the recipients own nothing", '("systemuser", "queue"):', '("queue",):'),
    Edit("owner", "queues among the recipients own nothing", '("systemuser", "queue"):', '("systemuser",):'),
    Edit("owner", "queues go before users", '("systemuser", "queue"):', '("queue", "systemuser"):'),
    Edit("owner", "who is not connected owns as well", "address is not None and organisation.is_mailbox(address)",
         "address is not None"),
    Edit("owner", "who reads along owns nothing", ", *(message.cc or ()))", ",)"),
    Edit("owner", "the mailbox owns nothing", 'return _of(*here, "mailbox", policy) or', "return"),
    Edit("owner", "the policy names nobody", "    if own is not None and own.owner is not None:", "    if False:"),
    Edit("owner", "the policy's owner does not count among recipients",
         "return own is not None and own.owner is not None", "return False"),
    Edit("owner", "there is no fallback", "if policy.fallback_owner is None", "if True"),
    Edit("owner", "a disabled user owns", "match is None or not match.active", "match is None"),
    Edit("owner", "a queue's owner owns nothing", 'if match.table == "queue" else None', "if False else None"),
    Edit("owner", "what is sent is an item of a queue", "if sender.is_ours or", "if"),
    Edit("owner", "the policy has no say in queue items", "not policy.queue_items", "False"),
    Edit("owner", "mail to a queue is no item of it", 'match.table == "queue" and match.active)', "False)"),
    Edit("owner", "a queue no longer in use gets items", " and match.active)", ")"),
    Edit("owner", "mail in a queue's mailbox that does not name it is no item",
         ", (copy.mailbox, matches.get(copy.mailbox)))", ",)"),
    Edit("email_activity", "an email has no owner", "if self.owner.record is not None:", "if False:"),
    Edit("email_activity", "an email is no item of its queue", "if self.queue is None:", "if True:"),
)  # fmt: skip

RECORDS = (
    Edit("regarding", "the rule reply finds nothing", "return _of_the_talk_before(talk, found.before, organisation)",
         "return None"),
    Edit("regarding", "a reply inherits whoever it is with", "not talk.external or talk.is_with(before, organisation)",
         "True"),
    Edit("regarding", "internal talk inherits nothing", "not talk.external or", ""),
    Edit("regarding", "the rule token finds no mail", "for mail in found.by_token:", "for mail in ():"),
    Edit("regarding", "a token counts for anybody", "mail.regarding is not None and talk.is_with(mail, organisation)",
         "mail.regarding is not None"),
    Edit("regarding", "the rule token finds no case", "for case in found.by_number", "for case in ()"),
    Edit("regarding", "a case number counts for anybody", "if not people.isdisjoint(case.people)", "if True"),
    Edit("regarding", "of tokens one is looked at", "[:MOST_TOKENS]", "[:0]"),
    Edit("regarding", "tokens are looked for without end", "[:MOST_TOKENS]", ""),
    Edit("regarding", "a mark may begin inside a word", "(?<![\\w-])", ""),
    Edit("regarding", "a mark may end inside a word", "(?![\\w-])", ""),
    Edit("regarding", "a mark is written in one way", ", re.IGNORECASE)", ")"),
    Edit("regarding", "the policy's tokens count for nothing", "rules.tokens, r", '("CRM:",), r'),
    Edit("regarding", "the policy's case numbers count for nothing", "rules.case_numbers, r", '("CAS-",), r'),
    *(
        Edit("regarding", f"the rule {table} finds nothing", "return next(iter(talk.people(frozenset({rule}))), None)",
             f'return next(iter(talk.people(frozenset({{rule}}) - {{"{table}"}})), None)')
        for table in ("contact", "account", "lead")
    ),
    *(
        Edit("regarding", f"the rule {rule} finds nothing", "return _of_people(talk",
             f'return None if rule == "{rule}" else _of_people(talk')
        for rule in ("opportunity", "case", "project")
    ),
    Edit("regarding", "of several the newest, whatever the policy says", 'rules.several == "newest"', "True"),
    Edit("regarding", "of several none, whatever the policy says", 'rules.several == "newest"', "False"),
    Edit("regarding", "of several the oldest", "return theirs[0]", "return theirs[-1]"),
    Edit("regarding", "who stands last in a mail comes first", "    for person in people:", "    for person in people[::-1]:"),
    Edit("regarding", "colleagues are customers too", "if not is_internal(address, match, organisation))", ")"),
    Edit("regarding", "the sender of ours under a foreign address is a customer", " if address != own)", ")"),
    Edit("regarding", "the rules stand in no order of the policy", "for rule in rules.rules:\n        record",
         "for rule in sorted(rules.rules):\n        record"),
    Edit("email_activity", "an email is about nothing", "if self.regarding.record is not None:", "if False:"),
    Edit("email_activity", "a custom table is bound like any other", "record.navigation or", ""),
    Edit("records", "a table is called as the plural rule says, whatever it is called", "self.collection or", ""),
)  # fmt: skip

THREADS = (
    Edit("regarding", "a forward is a reply", "not is_forward(self.subject) or", "True or"),
    Edit("regarding", "a forward is never a reply", "or self.is_with(parent, organisation)", ""),
    Edit("regarding", "two mails share nobody", "return not now.isdisjoint(before)", "return False"),
    Edit("regarding", "people are known by their address alone", "        keys.add((match.table", "        (lambda _: _)((match.table"),
    Edit("regarding", "people are known by their row alone", "{address} if address else set()", "set()"),
    Edit("subject", "a list's tag hides a forward", 'if not found["tag"]:', "if True:"),
    *(
        Constant("subject", f"{prefix} is no forward", "_PREFIX", _without(f"{prefix}|"))
        for prefix in ("fwd", "wg", "tr", "转发")
    ),
    Constant("subject", "an answer is no answer", "_PREFIX", _without("re|aw|")),
    Edit("identity", "In-Reply-To says nothing", '*_written_ids(message.header("In-Reply-To"))', "*()"),
    Edit("identity", "References say nothing", '*reversed(_written_ids(message.header("References")))', "*()"),
    Edit("identity", "the farthest mail of a chain is the parent", "reversed(_written_ids", "list(_written_ids"),
    Edit("identity", "a mail may answer itself", " and one != own)", ")"),
    Edit("identity", "an id without brackets is none", 'if "@" in word]', "if False]"),
    Edit("identity", "words are ids", "_BRACKETED.findall(text) or", ""),
    Edit("identity", "a chain ends with the nearest mail", "return found if len(found)", "return found[:1] if len(found)"),
    Edit("identity", "the first mail of a long chain is out of reach", "(*found[: MOST_ANCESTORS - 1], found[-1])", "found[:MOST_ANCESTORS]"),
    Edit("identity", "a chain is followed without end", "if len(found) <= MOST_ANCESTORS else", "if True else"),
    Edit("identity", "only In-Reply-To makes a reply", '("In-Reply-To", "References"))', '("In-Reply-To",))'),
    Edit("identity", "a mail without a Message-ID has the id of any other", "_description(message, mailbox))", '"")'),
    Edit("identity", "blanks make another Message-ID", '_WHITE_OR_BRACKET.sub("", bracketed[1] if bracketed else text)',
         "(bracketed[1] if bracketed else text)"),
    Edit("identity", "a Message-ID too long for its column is written", "if units_of(written) <= LONGEST_MESSAGE_ID", "if True"),
    Edit("email_activity", "a child does not know its parent", "if self.parent is not None else {}", "if False else {}"),
    Edit("email_activity", "siblings do not know each other", "if self.parent is None and self.correlated is not None:",
         "if False:"),
    Edit("guard", "another mail under a known Message-ID claims it too", "messageid=None)", ")"),
    Edit("guard", "another mail under a known Message-ID has its id",
         "activityid=another_identity(email.activityid, email.guard), ", ""),
    Edit("guard", "mails are told apart by no subject", "bare_subject(subject),", '"",'),
    Edit("guard", "a list's tag makes another mail", "return bare(subject)", 'return (subject or "")'),
)  # fmt: skip

HEADERS = (
    *(
        Edit("headers", f"{word} is not private", '{"private", "personal"}', f'{{"private", "personal"}} - {{"{word}"}}')
        for word in ("private", "personal")
    ),
    *(
        Edit("headers", f"{word} is not confidential", '{"company-confidential", "confidential"}',
             f'{{"company-confidential", "confidential"}} - {{"{word}"}}')
        for word in ("company-confidential", "confidential")
    ),
    *(
        Constant("headers", f"precedence {word} is not bulk", "_BULK_PRECEDENCE", lambda words, word=word: words - {word})
        for word in ("bulk", "list", "junk")
    ),
    Edit("headers", "a Feedback-ID is not bulk", 'said.has("feedback-id") or', ""),
    Edit("headers", "a list's headers are not bulk", ' or said.has_beginning("list-")', ""),
    *(
        Constant("headers", f"{name} is not automatic", "_AUTOMATIC", lambda names, name=name: tuple(one for one in names if one != name))
        for name in ("x-auto-response-suppress", "x-autoreply", "x-autorespond", "x-auto-reply", "x-autogenerated")
    ),
    Edit("headers", "Auto-Submitted is not automatic", 'submitted not in {"", "no"} or', ""),
    Edit("headers", "Auto-Submitted: no is automatic", '{"", "no"}', '{""}'),
    Edit("headers", "precedence auto_reply is not automatic", 'said.word("precedence") == "auto_reply" or', ""),
    Edit("headers", "a bounce is an automatic answer too", "report is None and", ""),
    Edit("headers", "the header tells of no receipt", '"disposition-notification" in kind or', ""),
    Edit("headers", "the parts tell of no receipt", ' or "message/disposition-notification" in parts:', ":"),
    Edit("headers", "the header tells of no bounce", 'if "delivery-status" in kind or', "if"),
    Edit("headers", "the parts tell of no bounce", ' or "message/delivery-status" in parts:', ":"),
    Edit("headers", "what was delivered was not", "Report.RECEIPT if _DELIVERED.match", "Report.BOUNCE if _DELIVERED.match"),
    Constant("headers", "zugestellt is no word of receipts", "_DELIVERED", _without("zugestellt|")),
    Edit("headers", "an empty return path is no bounce", "Report.BOUNCE if returns_nowhere", "Report.BOUNCE if False"),
    Edit("headers", "an automatic answer is a bounce", " and not _is_automatic(said) else None", " else None"),
    Edit("headers", "Exchange's word for invitations says nothing", '"calendarmessage" in said.word("content-class") or', ""),
    Edit("headers", "a mail that is nothing but a calendar is no invitation", '(main == "text/calendar" and', "(False and"),
    Edit("headers", "a calendar in a part is no invitation", 'any(kind == "text/calendar" and', "any(False and"),
    Edit("headers", "every calendar file is an invitation", "and _METHOD.search(parameters) for kind", "for kind"),
    Edit("headers", "capitals hide a header", "header.name.strip().lower()", "header.name.strip()"),
    Edit("headers", "capitals hide what a header says", "found[1].lower() if found", "found[1] if found"),
)  # fmt: skip

RULES = (
    Edit("tracking", "an unknown header marks nothing private", "screen.private == SKIP and case.headers is None", "False"),
    Edit("tracking", "an unknown header marks nothing confidential",
         "screen.confidential == SKIP and case.headers is None", "False"),
    Edit("tracking", "a participant is the sender alone", "for one in case.message.participants() if",
         "for one in case.message.from_ or () if one and"),
    Edit("tracking", "a sender is any participant", "for one in case.message.from_ or () if one and",
         "for one in case.message.participants() if"),
    Edit("tracking", "in doubt a mail is internal", "        return False\n    for participant", "        return True\n    for participant"),
    Edit("tracking", "what can't be read is internal", "if written and not is_sender", "if address and not is_sender"),
    Edit("tracking", "the sender of ours under a foreign address makes it external",
         "is_sender = sender.is_ours and", "is_sender = False and"),
    Edit("tracking", "known people are asked for in internal mail too",
         'screen.track == "known" and not _is_internal_mail(case) and', 'screen.track == "known" and'),
    Edit("tracking", "replies are asked for in internal mail too",
         'screen.track == "replies" and not _is_internal_mail(case) and', 'screen.track == "replies" and'),
    Edit("tracking", "a mailbox's own rules are not asked", "policy.screens(case.copy.mailbox):", "(policy.screen,):"),
    Edit("tracking", "no header is asked for", "any(screen.asks_headers for", "any(False for"),
    Edit("policy", "a domain holds none below it", "any(domain in self.entries for domain in _domains_above(domain_of(address)))",
         "domain_of(address) in self.entries"),
    Edit("policy", "a pattern holds nothing", "return self._patterns is not None and", "return False and"),
    Edit("policy", "a mailbox decides for itself how much is kept", "(self.screen, *screens)", "(self.screen,)"),
    Edit("policy", "the most that is allowed is kept", "return max((screen.content", "return min((screen.content"),
    Edit("policy", "capitals make another folder", "return written.strip().casefold() or None", "return written.strip() or None"),
)  # fmt: skip

CONTENT = (
    Edit("mapper", "the text is kept where it should not be", 'body = whole if level == "full" else', "body = whole if True else"),
    Edit("mapper", "files are kept where they should not be", 'message.attachments if level == "full"', "message.attachments if True"),
    Edit("mapper", "the subject is kept where it should not be", 'if level != "metadata" else', "if True else"),
    Edit("mapper", "the subject is lost where the text is not kept", 'if level != "metadata" else', 'if level == "full" else'),
    Edit("mapper", "how much is kept is asked of the copy's mailbox alone", "(copy.mailbox, *people_of(message)))", "(copy.mailbox,))"),
    Edit("mapper", "a mail that is locked away is not told to be", "(seal,) if seal and", "(seal,) if False and"),
    Edit("mapper", "a subject of any length is written", "fit(talk.subject, LONGEST_SUBJECT)", "talk.subject"),
    Edit("mapper", "a time that no column holds is written", "if EARLIEST <= time <= LATEST else None", ""),
    Edit("body", "all text is HTML", "if is_html(text) else", "if True else"),
    Edit("body", "all HTML is text", "if is_html(text) else", "if False else"),
    Edit("body", "misread text stays misread", "mended(whole[:LONGEST_BODY])", "whole[:LONGEST_BODY]"),
    Edit("body", "text is cleaned before it is mended", "clean(mended(whole[:LONGEST_BODY]))", "mended(clean(whole[:LONGEST_BODY]))"),
    Edit("body", "control characters stay", "clean(mended(whole[:LONGEST_BODY]))", "mended(whole[:LONGEST_BODY])"),
    Edit("body", "a lost text is lost", "if beginning else", "if False else"),
    Edit("body", "a mark of the byte order is text", '.lstrip("\\ufeff")', ""),
    Edit("body", "a text of any length is written", "units_of(html) + units_of(told) <= LONGEST_DESCRIPTION:", "True:"),
    Edit("body", "nobody is told of what is missing", '"".join(map(note, notes))', '""'),
    Edit("body", "nobody is told that a text goes on", "note(SNIPPET if self.is_snippet else CUT) + told", "told"),
    Edit("plain_text", "lines run into one another", '.replace("\\n", "<br>\\n")', ""),
    Edit("plain_text", "an address is no link", "for found in _LINK.finditer(text):", "for found in ():"),
    Edit("plain_text", "a full stop is part of an address", "address = address.rstrip(_SENTENCE_END)", "pass"),
    Edit("plain_text", "indents are lost", "text = _BLANKS.sub(_kept_blanks, text)", "pass"),
    Edit("plain_text", "brackets in a text are tags", "html.escape(text[end:], quote=False)", "text[end:]"),
    Edit("sanitiser", "HTML is not cleaned", "return clean(_filtered(bounded)), bounded is html", "return bounded, bounded is html"),
    Edit("sanitiser", "a style may fetch and compute", "if _has_tricks(cleaned) else cleaned", "if False else cleaned"),
    Edit("sanitiser", "an address without a host stays", 'not url.startswith("///") else None', "True else url"),
    Edit("sanitiser", "a picture's bare name is no call", "if _PICTURE_NAME.fullmatch(url):", "if False:"),
    Edit("sanitiser", "any data is a picture", "_PICTURE.match(value) else None", "True else None"),
    Edit("sanitiser", "data may stand anywhere", '(tag, attribute) == ("img", "src") and', ""),
    Edit("sanitiser", "a tag of any number of attributes is read", "if len(html) > _PLAIN_ATTRIBUTES_UP_TO else html", "if False else html"),
    Edit("sanitiser", "formatting left open is repeated", "if not _repeats_formatting(html):", "if True:"),
    Constant("sanitiser", "any number of tags is read", "MOST_TAGS", lambda _: 10**9),
    Edit("pictures", "who only watches may stay", 'return "" if _watches(source, attributes) else tag[0]', "return tag[0]"),
    Edit("pictures", "no picture from elsewhere may stay", 'return "" if _watches(source, attributes) else tag[0]', 'return ""'),
    Edit("pictures", "a hidden picture does not watch", "style.get(name) == value", "False"),
    Edit("pictures", "a tiny picture does not watch", "return 0 in sizes or", "return False and"),
    Edit("pictures", "a picture that is not here leaves no note", 'in_place(f"{MISSING_PICTURE} {_name(attributes, source)}")', '""'),
    Edit("pictures", "a picture that is not here leaves a broken tag",
         'in_place(f"{MISSING_PICTURE} {_name(attributes, source)}")', "tag[0]"),
    Edit("pictures", "a picture is called as it was, whatever it is carried under",
         "_ATTRIBUTE.sub(lambda found: _called(found, content_id), tag[0])", "tag[0]"),
    Edit("pictures", "an encoded call is another", "unquote(bare).strip()", "bare.strip()"),
    Edit("pictures", "capitals make another call", '.strip("<>").casefold()', '.strip("<>")'),
    Edit("pictures", "a missing picture is told by no other words", 'attributes.get("alt") or', ""),
    Edit("notes", "what others wrote can end our note", 'text.replace("[", "(").replace("]", ")")', "text"),
    Edit("notes", "what others wrote acts in our note", ', quote=False)', ", quote=False).replace('&lt;', '<')"),
    Edit("text", "line ends stay in a line", 'return _BLANKS.sub(" ", clean(text)).strip()', "return text.strip()"),
    Edit("text", "a character may be cut in two", 'surrogatepass")[: 2 * units]', 'surrogatepass")[: 2 * units + 2]'),
    Edit("text", "control characters are text", 'text = _CONTROL.sub("", _LINE_END.sub("\\n", text))', 'text = _LINE_END.sub("\\n", text)'),
)  # fmt: skip

FILES = (
    *(
        Edit("attachments", f"nobody is told of a file that is {why.name.lower()}",
             "told = [_told(one) for one in self.withheld[:MOST_TOLD]]",
             f"told = [_told(one) for one in self.withheld[:MOST_TOLD] if one.why.name != {why.name!r}]")
        for why in Why
    ),
    Edit("attachments", "a large file goes along", "file.size > 2 * limits.most_bytes", "False"),
    Edit("attachments", "an estimate is taken at its word", "file.size > 2 * limits.most_bytes", "file.size > limits.most_bytes"),
    Edit("attachments", "a limit is measured in bytes", "self.largest // 4 * 3", "self.largest"),
    Edit("attachments", "no kind of file is blocked", "if extension in self.extensions:", "if False:"),
    Edit("attachments", "capitals pass a blocked kind", 'name.rpartition(".")[2].lower()', 'name.rpartition(".")[2]'),
    Edit("attachments", "no type is blocked", "return Why.BLOCKED_TYPE if kind in self.blocked_types else None", "return None"),
    Edit("attachments", "all types are allowed", "None if kind in self.allowed_types else Why.BLOCKED_TYPE", "None"),
    Edit("attachments", "the policy has no say in files", "None if carry else Why.POLICY", "None"),
    Edit("attachments", "hundreds of missing files are named", "self.withheld[:MOST_TOLD]]", "self.withheld]"),
    Edit("attachments", "nobody is told how many more are missing", "; and {more} more", ""),
    Edit("attachments", "nobody is told how large a missing file is", 'f", {_in_words(file.size)}" if file.size else ""', '""'),
    Edit("attachments", "nobody is told why a file is missing", "{name}{size} ({withheld.why})", "{name}{size}"),
    Edit("attachments", "files of one name have one id", "file = replace(file, number=names[file.name.casefold()])", "pass"),
    Edit("attachments", "capitals make another file", "file\\n{self.name.casefold()}", "file\\n{self.name}"),
    Edit("attachments", "a file without an id is fetched", "if attachment is None or not attachment.id:", "if attachment is None:"),
    Edit("attachments", "a path stays in a name", 're.split(r"[\\\\/]", text)[-1]', "text"),
    Edit("attachments", "reserved characters stay in a name", '_RESERVED.sub("_", ', 'str("" + '),
    Edit("attachments", "a name may turn the direction of writing", '_UNSEEN.sub("", _decoded(written))', "_decoded(written)"),
    Edit("attachments", "an encoded name stays encoded", '_UNSEEN.sub("", _decoded(written))', '_UNSEEN.sub("", written)'),
    Edit("attachments", "a name may end with a dot", 'return name.strip().rstrip(". ")', "return name"),
    Edit("attachments", "a long name loses its ending", "    if not dot or units_of(extension) > 20:", "    if True:"),
    Edit("attachments", "a name of any length is written", "    if units_of(text) <= LONGEST_NAME:", "    if True:"),
    Edit("attachments", "a file without a name has none", 'if not name or name.startswith("."):', "if False:"),
    Edit("attachments", "a name in the type is not read", "attachment.filename or _named_in(parameters)", 'attachment.filename or ""'),
    Edit("attachments", "a lost type is not told by the name", 'if _WHOLE_TYPE.fullmatch(kind) is None or kind == DEFAULT_TYPE:', "if False:"),
    Edit("attachments", "a type keeps its parameters", "kind = main.strip().lower()",
         'kind = single_line(attachment.content_type or "").lower()'),
    Edit("attachments", "an encrypted mail is not told to be", "return SEALED if \"signed-data\" in kind else ENCRYPTED", "return None"),
    Edit("attachments", "a signed mail is called encrypted", "return SEALED if \"signed-data\" in kind else", "return"),
    Edit("attachments", "a mail encrypted by PGP is not told to be", 'if kind.startswith("application/pgp-encrypted"):', "if False:"),
    Edit("attachments", "a picture is told by its content id alone", "(reference(written), reference(file.name), reference(attachment.filename or \"\"))",
         "(reference(written),)"),
    Edit("attachments", "a picture is told by its name alone", "(reference(written), reference(file.name), reference(attachment.filename or \"\"))",
         "(reference(file.name),)"),
    Edit("attachments", "a picture is not found by the name it came with", ", reference(attachment.filename or \"\"))", ")"),
    Edit("attachments", "of two pictures with one id both are meant", "calls.remove(call)", "pass"),
    Edit("attachments", "any content id is written", "_CONTENT_ID.fullmatch(written) is not None and", ""),
    Edit("email_activity", "a picture is carried without its content id", "if file.content_id is not None:", "if False:"),
    Edit("email_activity", "nobody is told that files are missing", "else _FILES_MISSING if", "else None if"),
    Edit("email_activity", "nobody is told that the text goes on", "_TRUNCATED_BODY if", "None if"),
    Edit("attachments", "a file that is missing stays in the email", "if file not in missing),", "),"),
)  # fmt: skip


def all_of_them() -> Iterator[Mutation]:
    """Everything that is broken, one after the other."""
    yield from of_the_chain()
    for some in (PEOPLE, DIRECTION, OWNER, RECORDS, THREADS, HEADERS, RULES, CONTENT, FILES):
        yield from some
