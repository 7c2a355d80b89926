"""What the administrator has settled, in one function for every way in.

`apply` fills in what a template says, and `check` tells what does not keep to it; both are pure.
`Policy.admit` is the two of them with the templates that lie on the disk, and nothing becomes a
kernel without it.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .aliases import ANYTHING, GROUPS, canonical, field_of, name_of, ways_in
from .config import AT_LAUNCH, PER_USER_FIELDS, KernelConfig, read_config, with_conf_in_fields
from .errors import CannotBeDone, FieldError, Invalid, Locked, NotAllowed, quoted
from .fields import template_name
from .places import Place
from .templates import (
    Bundle,
    Catalog,
    Rule,
    Scalar,
    Template,
    plain,
    read_catalog,
    same,
    substituted,
    why_not,
)

_FACT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}")
_HOME = re.compile(r"/[A-Za-z0-9._@+/-]{0,254}")

_RUNS_CODE = (
    *("LD_*", "DYLD_*", "PYTHON*", "BASH_ENV", "ENV", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"),
    *("JDK_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS", "SPARK_CONF_DIR"),
    # IPython runs what lies in its profile, and below HOME when nothing else is said.
    *("IPYTHONDIR", "HOME", "GCONV_PATH"),
)
"""Variables that run code, or lead to it, before the notebook's first cell."""

_HARMLESS = ("PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8")


_TOLD_BY = {"hub_user": "JUPYTERHUB_USER", "home": "HOME"}
"""Facts that the launcher takes from variables, at least where nobody is registered."""


@dataclass(frozen=True)
class Identity:
    """Who this server, or the command line, works for: never what a request says.

    Attributes:
        facts: what `${…}` in templates stands for; one that could be more than a name is left out.
        groups: the groups of the user.

    """

    facts: Mapping[str, str]
    groups: frozenset[str] = frozenset()


def own_identity(environ: Mapping[str, str] = os.environ) -> Identity:
    """Tell for whom this process works."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
        user, home = entry.pw_name, entry.pw_dir
    except KeyError:
        user, home = str(uid), environ.get("HOME", "")
    facts = {
        "user": user,
        "uid": str(uid),
        "hub_user": environ.get("JUPYTERHUB_USER", ""),
        "hub_server": environ.get("JUPYTERHUB_SERVER_NAME", ""),
    }
    known = {name: value for name, value in facts.items() if _FACT.fullmatch(value)}
    if _HOME.fullmatch(home):
        known["home"] = home
    return Identity(known, frozenset(_groups()))


def _groups() -> Iterator[str]:
    for number in {os.getgid(), *os.getgroups()}:
        with suppress(KeyError):
            yield grp.getgrgid(number).gr_name


# --- pure --------------------------------------------------------------------------------------


def rules_of(template: Template, choices: Sequence[str]) -> dict[str, Rule]:
    """Give what holds when these sizes and options are chosen.

    Raises:
        Invalid: when there are no such choices, or two of them do not go together.

    """
    file = template.file
    unknown = [choice for choice in choices if choice not in template.bundles]
    if unknown:
        known = ", ".join(template.bundles) or "nothing"
        raise Invalid.at(
            "choices",
            f"{quoted(unknown[0])} is no choice of the template {quoted(template.name)}. "
            f"Choose of: {known}.",
        )
    sizes = [choice for choice in choices if choice in file.sizes]
    if len(sizes) > 1:
        raise Invalid.at("choices", f"{' and '.join(sizes)} are both sizes. Choose one of them.")
    rules = dict(template.rules)
    chosen: dict[str, str] = {}
    for choice in choices:
        for setting, rule in template.bundles[choice].items():
            if setting in chosen and rule.fixed != rules[setting].fixed:
                raise Invalid.at(
                    "choices",
                    f"{chosen[setting]} and {choice} set {name_of(setting)} to different values. "
                    "Choose one of them.",
                )
            rules[setting] = rule
            chosen[setting] = choice
    return rules


def apply(data: Mapping[str, Any], template: Template, identity: Identity) -> dict[str, Any]:
    """Fill in what a template says where nothing else is said.

    Args:
        data: a KernelConfig as plain data, of which fields may be missing.
        template: the template that it names.
        identity: whose facts take the place of `${…}`.

    Raises:
        Invalid: when what is chosen is not offered.
        CannotBeDone: when a fact is not known here.

    """
    filled = _in_fields(data)
    choices = _choices(filled.get("choices"), template)
    rules = rules_of(template, choices)
    given = set(map(canonical, _flat(filled)))
    for setting, rule in rules.items():
        value = _value(setting, rule, template, identity)
        if setting not in given and value is not None:
            _set(filled, setting, value)
    at_launch = {
        setting
        for setting, rule in rules.items()
        if AT_LAUNCH in str(rule.value) and field_of(setting) in PER_USER_FIELDS
    }
    named = filled.get("per_user", [])
    if isinstance(named, list):
        ruled = set(map(name_of, rules))
        own = [name for name in named if not isinstance(name, str) or name not in ruled]
        filled["per_user"] = [*own, *sorted(map(name_of, at_launch))]
    return {**filled, "template": template.reference, "choices": choices}


def check(config: KernelConfig, template: Template, identity: Identity) -> list[FieldError]:
    """Tell what in a kernel does not keep to its template, wherever it is said."""
    rules = rules_of(template, config.choices)
    values = _flat(config.model_dump(exclude_none=True))
    return [
        *_against_rules(rules, values, template, identity),
        *_by_other_ways(rules, config, template),
        *_unknown(rules, config, template),
    ]


def _against_rules(
    rules: Mapping[str, Rule],
    values: Mapping[str, Any],
    template: Template,
    identity: Identity,
) -> Iterator[FieldError]:
    for setting, rule in rules.items():
        value, name = values.get(setting), name_of(setting)
        if not rule.locked:
            if value is not None and (wrong := why_not(setting, rule, value)) is not None:
                # Whoever shows it names the field.
                head = "" if setting in KernelConfig.model_fields else f"{name}: "
                yield _error(field_of(setting), f"{head}{quoted(value)} {wrong}", template, rule)
            continue
        wanted = _value(setting, rule, template, identity)
        if wanted is None:
            wanted = _unset(setting)
        if value is None and wanted is None:
            continue
        if value is None or wanted is None or not same(setting, value, wanted):
            fixed = "it stays unset" if wanted is None else f"it is {quoted(wanted)}"
            said = "is left out" if value is None else f"is {quoted(value)} here"
            text = f"{name} {said}, and {fixed} in the template {quoted(template.name)}"
            yield _error(field_of(setting), text, template, rule)


def _by_other_ways(
    rules: Mapping[str, Rule], config: KernelConfig, template: Template
) -> Iterator[FieldError]:
    binding = {setting: rule for setting, rule in rules.items() if _binds(rule)}
    for way in ways_in(config):
        if GROUPS[way.field] + way.name in rules:
            # The administrator has thought of it.
            continue
        _, within, name = way.name.rpartition(" in ")
        if within and name in rules and rules[name].locked:
            # The administrator has written it.
            continue
        met = next((setting for setting in binding if _meets(way.setting, setting)), None)
        if met is not None:
            who = f"The secret {way.name}" if way.field == "secrets" else way.name
            text = (
                f"{who} also decides {name_of(met)}, which the template "
                f"{quoted(template.name)} has settled. Leave it out"
            )
            yield _error(way.field, text, template, binding[met])
    for setting, rule in rules.items():
        for fact, name in _TOLD_BY.items():
            field = "env" if name in config.env else "secrets"
            if f"{AT_LAUNCH}{fact}}}" in str(rule.value) and name in getattr(config, field):
                text = (
                    f"{name} also decides {name_of(setting)}, which the template "
                    f"{quoted(template.name)} fills in for each user. Leave it out"
                )
                yield _error(field, text, template, rule)


def _meets(pattern: str, setting: str) -> bool:
    begin, anything, _ = pattern.partition(ANYTHING)
    return setting.startswith(begin) if anything else setting == pattern


def _unknown(
    rules: Mapping[str, Rule], config: KernelConfig, template: Template
) -> Iterator[FieldError]:
    closed = template.file.closed
    for group in closed:
        for name in getattr(config, group):
            setting = GROUPS[group] + name
            if setting not in rules:
                yield _error(
                    group,
                    f"{name} is none of what the template {quoted(template.name)} lets "
                    "set. Leave it out",
                    template,
                    Rule(),
                )
    for way in ways_in(config):
        is_secret = way.field == "secrets" and way.setting != ANYTHING
        holder = field_of(way.setting) if is_secret else "conf"
        # What stands in conf itself was looked at; here is what Spark would read from elsewhere.
        elsewhere = is_secret or way.setting == ANYTHING or way.name.startswith("-D")
        known = GROUPS[way.field] + way.name in rules or way.setting in rules
        if holder in closed and elsewhere and not known:
            yield _error(
                way.field,
                f"{way.name} can set what the template {quoted(template.name)} does not name. "
                "Leave it out",
                template,
                Rule(),
            )


def check_shared(config: KernelConfig, rules: Mapping[str, Rule]) -> list[FieldError]:
    """Tell what a kernel that others start may not bring along, unless a template says it."""
    return [
        FieldError(
            field,
            f"{name} can run code in the notebooks of everybody who starts this kernel. Leave it "
            "out, or ask the administrator for a template that sets it.",
        )
        for field in ("env", "secrets")
        for name in getattr(config, field)
        if GROUPS[field] + name not in rules
        and name not in _HARMLESS
        and any(fnmatchcase(name, pattern) for pattern in _RUNS_CODE)
    ]


def within(
    config: KernelConfig, changes: Mapping[str, Any], rules: Mapping[str, Rule], template: Template
) -> tuple[dict[str, Any], list[FieldError]]:
    """Hold changes of a kernel's fields against its template.

    Returns:
        those that it lets through, one that is too small as large as it has to be; and what it says
        of the others.

    """
    kept, errors = {}, []
    for setting, value in changes.items():
        rule, old = rules.get(setting, Rule()), getattr(config, setting)
        if rule.min is not None and why_not(setting, Rule.model_construct(min=rule.min), value):
            value = plain(setting, rule.min)
        wrong = "is fixed" if rule.locked else why_not(setting, rule, value)
        if wrong is None and old is not None and same(setting, value, old):
            wrong = "is the least that is allowed"
        if wrong is None:
            kept[setting] = value
        else:
            shown = old if rule.locked else value
            errors.append(
                _error(
                    setting,
                    f"{quoted(shown)} {wrong} by the template {quoted(template.name)}",
                    template,
                    rule,
                )
            )
    return kept, errors


def forget_governed(
    data: Mapping[str, Any], templates: Sequence[Template], before: KernelConfig
) -> dict[str, Any]:
    """Take out what nobody touched and a template settles: it comes anew from the template.

    Otherwise a value that was fixed when the kernel was made would stand against the one that is
    fixed now, or a size against the one that is chosen now.
    """
    governed = {
        setting
        for template in templates
        for rules in (template.rules, *template.bundles.values())
        for setting, rule in rules.items()
        if rule.locked
    }
    kept = _in_fields(data)
    old = _flat(before.model_dump(exclude_none=True))
    for setting, value in _flat(kept).items():
        if setting in governed and setting in old and same(setting, value, old[setting]):
            _remove(kept, setting)
    return kept


def _binds(rule: Rule) -> bool:
    return rule.locked or (rule.min, rule.max, rule.one_of) != (None, None, None)


def _choices(given: object, template: Template) -> list[str]:
    """Put choices into the template's order, with the size that is chosen by who says nothing."""
    if given is None:
        given = []
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise Invalid.at("choices", f"{quoted(given)} is not a list of names. Send one.")
    file = template.file
    if file.size is not None and not set(given) & file.sizes.keys():
        given = [file.size, *given]
    order = list(template.bundles)
    unknown = [name for name in given if name not in order]
    return sorted(set(given) - set(unknown), key=order.index) + unknown


def _value(setting: str, rule: Rule, template: Template, identity: Identity) -> Any:
    """Give the value of who gives none, as KernelConfig has it."""
    value: Scalar | None = rule.value
    if not isinstance(value, str):
        return None if value is None else plain(setting, value)
    try:
        return substituted(value, identity.facts)
    except KeyError as error:
        raise CannotBeDone.at(
            "template",
            f"The template {quoted(template.name)} needs {error.args[0]} for {name_of(setting)}, "
            "which is not known here or is no plain name. Choose another template.",
        ) from None


def _unset(setting: str) -> Any:
    """Give the value that a field has by itself."""
    field = KernelConfig.model_fields.get(setting)
    return None if field is None or field.is_required() else field.default


def _error(field: str, text: str, template: Template, rule: Rule) -> FieldError:
    reason = rule.reason or template.file.reason
    return FieldError(field, f"{text}." + (f" {reason}" if reason else ""))


_NO_SETTINGS = {"name", "place", "template", "choices", "per_user", *GROUPS}


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """List what plain data sets, by the names of settings; what has the wrong type is left out."""
    found = {
        name: value
        for name, value in data.items()
        if name in KernelConfig.model_fields and name not in _NO_SETTINGS and value is not None
    }
    for field, prefix in GROUPS.items():
        entries = data.get(field)
        if isinstance(entries, dict):
            found.update({f"{prefix}{name}": value for name, value in entries.items()})
    return found


def _in_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Copy plain data, each fact in its one place."""
    given = {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in data.items()
        if value is not None
    }
    try:
        return with_conf_in_fields(given)
    except PydanticCustomError as error:
        raise Invalid.at("conf", f"{error.message()}.") from None


def _holder(data: dict[str, Any], setting: str) -> Any:
    field = field_of(setting)
    return data.setdefault(field, {}) if field in GROUPS else data


def _set(data: dict[str, Any], setting: str, value: Any) -> None:
    holder = _holder(data, setting)
    if isinstance(holder, dict):
        # What is no mapping is refused later, by the field's own rule.
        holder[name_of(setting)] = value


def _remove(data: dict[str, Any], setting: str) -> None:
    _holder(data, setting).pop(name_of(setting), None)


# --- what a form is told -----------------------------------------------------------------------


class OfferedRule(BaseModel):
    """What holds for one setting of a template, for a form that shows it."""

    model_config = ConfigDict(frozen=True)

    setting: str = Field(description="A field of KernelConfig, a spark.* key or a variable.")
    field: str = Field(description="The field of KernelConfig that holds it.")
    value: str | None = Field(description="Its value, or that of who gives none.")
    locked: bool = Field(description="Whether nobody can choose another.")
    hidden: bool = Field(description="Whether it should not be shown.")
    min: str | None
    max: str | None
    one_of: list[str] | None
    reason: str


class OfferedChoice(BaseModel):
    """A size or an option."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    description: str
    rules: list[OfferedRule]


class Offer(BaseModel):
    """A template as a form offers it."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    description: str
    closed: list[str] = Field(description="The fields that hold only what the template names.")
    rules: list[OfferedRule]
    sizes: list[OfferedChoice] = Field(description="Of these, one is chosen.")
    size: str | None = Field(description="The size of who chooses none.")
    options: list[OfferedChoice] = Field(description="Of these, any can be chosen.")


class Offers(BaseModel):
    """The templates there are."""

    templates: list[Offer]
    required: bool = Field(description="Whether a kernel needs one.")


def offer(template: Template, identity: Identity) -> Offer:
    """Tell a form of a template.

    Raises:
        CannotBeDone: when a fact is not known here, so that nobody could use it.

    """

    def rules(of: Mapping[str, Rule]) -> list[OfferedRule]:
        return [_offered(setting, rule, template, identity) for setting, rule in of.items()]

    def choices(of: Mapping[str, Bundle]) -> list[OfferedChoice]:
        return [
            OfferedChoice(
                name=name,
                title=bundle.title or name,
                description=bundle.description,
                rules=rules(template.bundles[name]),
            )
            for name, bundle in of.items()
        ]

    file = template.file
    return Offer(
        name=template.name,
        title=file.title,
        description=file.description,
        closed=list(file.closed),
        rules=rules(template.rules),
        sizes=choices(file.sizes),
        size=file.size,
        options=choices(file.options),
    )


def _offered(setting: str, rule: Rule, template: Template, identity: Identity) -> OfferedRule:
    value = _value(setting, rule, template, identity)
    if value is None and rule.locked:
        value = _unset(setting)
    return OfferedRule(
        setting=name_of(setting),
        field=field_of(setting),
        value=None if value is None else _text(value),
        locked=rule.locked,
        hidden=rule.hidden,
        min=None if rule.min is None else str(rule.min),
        max=None if rule.max is None else str(rule.max),
        one_of=None if rule.one_of is None else list(map(str, rule.one_of)),
        reason=rule.reason,
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- with the disk -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Administration:
    """What the administrator configured.

    Attributes:
        directories: where templates lie.
        administrators: who may own them, beside root.
        require_template: whether a kernel needs a template.
        may_share: the users, and groups as `@group`, who may write to shared places; everybody whom
            the file system lets when empty.

    """

    directories: tuple[str, ...] = ()
    administrators: tuple[str, ...] = ()
    require_template: bool = False
    may_share: tuple[str, ...] = ()


class Policy:
    """The administrator's word on each kernel.

    Args:
        administration: what was configured.
        identity: tells who asks.

    """

    def __init__(
        self,
        administration: Administration | None = None,
        identity: Callable[[], Identity] = own_identity,
    ) -> None:
        self.administration = administration or Administration()
        self.identity = identity

    def catalog(self) -> Catalog:
        """Read the templates, as they are now."""
        told = self.administration
        return (
            read_catalog(told.directories, told.administrators) if told.directories else Catalog()
        )

    def admit(self, data: object, before: KernelConfig | None = None) -> KernelConfig:
        """Make the configuration of a kernel of what was asked for.

        Args:
            data: a KernelConfig as plain data; what a template says may be missing.
            before: the kernel that is edited or copied. What it has of a template, and nobody
                touched, comes anew from the template.

        Raises:
            Locked: when something is settled otherwise.
            KernelError: what else is wrong with it.

        """
        reference = data.get("template") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(reference, str):
            config = read_config(data)
            self._check_without()
            if config.choices:
                raise Invalid.at("choices", "Without a template there is nothing to choose.")
            return config
        catalog = self.catalog()
        template = self._find(reference, catalog)
        if before is not None:
            old = catalog.templates.get(template_name(before.template or "") or "")
            governing = [one for one in (template, old) if one is not None]
            data = forget_governed(data, governing, before)
        identity = self.identity()
        config = read_config(apply(data, template, identity))
        if errors := check(config, template, identity):
            raise Locked(errors)
        return config

    def renewed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Give the data of a kernel without what its template says, to be made anew from it."""
        config = read_config(data)
        template = self.catalog().templates.get(template_name(config.template or "") or "")
        return data if template is None else forget_governed(data, [template], config)

    def settled(self, config: KernelConfig) -> frozenset[str]:
        """Name the settings of a kernel whose values are those that its template gives."""
        template = self.catalog().templates.get(template_name(config.template or "") or "")
        if template is None:
            return frozenset()
        values, identity = _flat(config.model_dump(exclude_none=True)), self.identity()
        return frozenset(
            setting
            for setting, rule in rules_of(template, config.choices).items()
            if setting in values
            and (wanted := _value(setting, rule, template, identity)) is not None
            and same(setting, values[setting], wanted)
        )

    def within(
        self, config: KernelConfig, changes: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[FieldError]]:
        """Hold changes of a kernel's fields against its template, if it has one that is there."""
        template = self.catalog().templates.get(template_name(config.template or "") or "")
        if template is None:
            return dict(changes), []
        known = [choice for choice in config.choices if choice in template.bundles]
        return within(config, changes, rules_of(template, known), template)

    def check_place(self, config: KernelConfig, place: Place) -> None:
        """Check what a kernel in a place that others use brings along.

        Raises:
            Locked: what it may not.

        """
        if not place.shared:
            return
        rules: Mapping[str, Rule] = {}
        if config.template is not None:
            rules = rules_of(self._find(config.template, self.catalog()), config.choices)
        if errors := check_shared(config, rules):
            raise Locked(errors)

    def places(self, places: Sequence[Place]) -> list[Place]:
        """Give the places, with the reason why this user may not write to those of others."""
        allowed = self.administration.may_share
        identity = self.identity()
        names = {identity.facts.get("user", ""), *(f"@{group}" for group in identity.groups)}
        if not allowed or names & set(allowed):
            return list(places)
        reason = "The administrator has not named you among those who may share kernels."
        return [
            place.model_copy(update={"reason": place.reason or reason}) if place.shared else place
            for place in places
        ]

    def offers(self) -> Offers:
        """List the templates that can be used here, for a form."""
        identity = self.identity()
        offers = []
        for template in self.catalog().templates.values():
            # One that needs a hub, say, can be used on none but a hub.
            with suppress(CannotBeDone):
                offers.append(offer(template, identity))
        return Offers(templates=offers, required=self.administration.require_template)

    def outdated(self, reference: object, catalog: Catalog) -> str | None:
        """Say what has become of the template that a kernel was made with, if anything."""
        if not isinstance(reference, str):
            if self.administration.require_template:
                return "It was made without a template, and kernels need one now."
            return None
        name = template_name(reference) or ""
        template = catalog.templates.get(name)
        if template is None:
            return f"Its template {quoted(name)} is not there any longer."
        if template.reference != reference:
            return f"Its template {quoted(name)} has changed since it was made."
        return None

    def _find(self, reference: str, catalog: Catalog) -> Template:
        name = template_name(reference)
        template = catalog.templates.get(name or "")
        if template is None:
            known = ", ".join(catalog.templates) or "there is none"
            raise NotAllowed.at(
                "template",
                f"There is no template {quoted(name or reference)} that can be used. "
                f"Choose one of: {known}.",
            )
        return template

    def _check_without(self) -> None:
        if self.administration.require_template:
            known = ", ".join(self.catalog().templates) or "there is none yet"
            raise Locked.at(
                "template",
                f"The administrator lets kernels be made from a template only. "
                f"Choose one of: {known}.",
            )
