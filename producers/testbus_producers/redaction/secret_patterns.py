"""The shapes of secrets, as data: what vendors' tokens look like, and beside which names a value is a secret.

Each shape has hints: lower-case pieces of text, one of which is in every match. Looking for these first costs clean
text almost nothing. Every repetition is bounded, possessive, or ends at the first character that it cannot take, so
that no pattern goes back over what it has read.
"""

from __future__ import annotations

import re
from re import _constants, _parser  # type: ignore[attr-defined] # the only way to look into a pattern
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What stands where a secret was.
MASK: Final = "[redacted]"


class Shape(NamedTuple):
    """One kind of secret."""

    #: Lower-case pieces, one of which is in every match.
    hints: tuple[str, ...]
    #: What is found, a regular expression.
    pattern: str
    #: What takes its place.
    replacement: str = MASK


#: Part of a pattern: as a word of 20 to 255 characters, at least one of them a digit, so that no plain words are meant.
_WORD: Final = r"(?=[A-Za-z_.-]{0,64}[0-9])[0-9A-Za-z_-]{20,255}"

#: Tokens that are known by themselves, wherever they stand.
TOKENS: Final = (
    # AWS
    Shape(("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    # Google
    Shape(("aiza",), r"\bAIza[0-9A-Za-z_-]{35}"),
    Shape(("ya29.",), r"\bya29\.[0-9A-Za-z_-]{20,2048}"),
    Shape(("gocspx-",), r"\bGOCSPX-[0-9A-Za-z_-]{20,64}"),
    # Azure: application secrets, personal access tokens of DevOps
    Shape(("q~",), r"(?<![\w.~-])[\w.~-]{3}[0-9]Q~[\w.~-]{31,34}(?![\w~])"),
    Shape(("azdo",), r"\b[0-9A-Za-z]{76}AZDO[0-9A-Za-z]{4}\b"),
    # GitHub, GitLab, Bitbucket, Atlassian
    Shape(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{20,255}"),
    Shape(("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{20,255}"),
    Shape(
        ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-"),
        r"\bgl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|oas|soat)-[0-9A-Za-z_-]{20,255}",
    ),
    Shape(("gr1348941",), r"\bGR1348941[0-9A-Za-z_-]{20,64}"),
    Shape(("atatt3", "atctt3", "atbb", "atst"), r"\bAT(?:ATT3|CTT3|BB|ST)[0-9A-Za-z_=-]{24,512}"),
    # Slack, Discord, Telegram, Teams
    Shape(("xox", "xapp-"), r"\b(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,255}"),
    Shape(("hooks.slack.com",), r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]{8,255}", rf"\1{MASK}"),
    Shape(("webhooks/",), r"(discord(?:app)?\.com/api/webhooks/)[0-9]{8,24}/[\w-]{20,128}", rf"\1{MASK}"),
    Shape((":aa",), r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}\b"),
    Shape(("webhook.office.com",), r"(webhook\.office\.com/webhookb2/)[\w@/-]{20,512}", rf"\1{MASK}"),
    # Payments and shops
    Shape(("_live_", "_test_"), r"\b[srp]k_(?:live|test)_[0-9A-Za-z]{10,255}"),
    Shape(("whsec_",), r"\bwhsec_[0-9A-Za-z+/=]{16,255}"),
    Shape(("sq0",), r"\bsq0(?:atp|csp|idp)-[0-9A-Za-z_-]{22,43}"),
    Shape(("shpat_", "shpss_", "shpca_", "shppa_"), r"\bshp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}"),
    # Package indexes and registries
    Shape(("npm_",), r"\bnpm_[0-9A-Za-z]{36}"),
    Shape(("pypi-ag",), r"\bpypi-Ag[0-9A-Za-z_-]{40,512}"),
    Shape(("rubygems_",), r"\brubygems_[0-9a-f]{48}"),
    Shape(("cio",), r"\bcio[0-9A-Za-z]{32}\b"),
    Shape(("oy2",), r"\boy2[0-9a-z]{43}\b"),
    Shape(("dckr_pat_", "dckr_oat_"), r"\bdckr_[op]at_[0-9A-Za-z_-]{20,64}"),
    Shape(("akcp",), r"\bAKCp[0-9A-Za-z]{64,80}\b"),
    # Models
    Shape(("sk-",), rf"\bsk-{_WORD}"),
    Shape(("gsk_", "xai-", "pplx-"), r"\b(?:gsk_|xai-|pplx-)[0-9A-Za-z]{40,128}"),
    Shape(("hf_",), r"\bhf_[0-9A-Za-z]{30,64}"),
    Shape(("r8_",), r"\br8_[0-9A-Za-z]{37}\b"),
    # Mail and telephone
    Shape(("sg.",), r"\bSG\.[0-9A-Za-z_-]{16,64}\.[0-9A-Za-z_-]{16,64}"),
    Shape(("sk",), r"\bSK[0-9a-f]{32}\b"),
    Shape(("key-",), r"\bkey-[0-9a-f]{32}\b"),
    Shape(("-us",), r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    # Watching and telling
    Shape(("nrak-", "nrii-"), r"\bNR(?:AK|II)-[0-9A-Za-z_-]{20,64}"),
    Shape(("sntrys_", "sntryu_"), r"\bsntry[su]_[0-9A-Za-z+/=_-]{40,512}"),
    Shape(("glsa_", "glc_"), r"\bgl(?:sa|c)_[0-9A-Za-z+/=_]{32,512}"),
    Shape(("ddp_",), r"\bddp_[0-9A-Za-z]{34,64}"),
    # Clouds and their tools
    Shape(("hvs.", "hvb.", "hvr."), r"\bhv[sbr]\.[0-9A-Za-z_-]{24,512}"),
    Shape((".atlasv1.",), r"\b[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,128}"),
    Shape(("dop_v1_", "doo_v1_", "dor_v1_"), r"\bdo[opr]_v1_[0-9a-f]{64}"),
    Shape(("hrku-",), r"\bHRKU-[0-9A-Za-z_-]{36,64}"),
    Shape(("pul-",), r"\bpul-[0-9a-f]{40}\b"),
    Shape(("dp.",), r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{2,35}\.)?[0-9A-Za-z]{40,44}\b"),
    Shape(("tskey-",), r"\btskey-[a-z]{3,12}-[0-9A-Za-z_-]{16,128}"),
    Shape(("dapi",), r"\bdapi[0-9a-f]{32}\b"),
    Shape(("pscale_",), r"\bpscale_(?:tkn|pw|oauth)_[0-9A-Za-z_.-]{32,64}"),
    Shape(("sbp_",), r"\bsbp_[0-9a-f]{40}\b"),
    Shape(("fm1", "fm2"), r"\bfm[12][a-z]?_[0-9A-Za-z+/=]{100,1024}"),
    # Builds and work
    Shape(("ccipat_",), r"\bCCIPAT_[0-9A-Za-z]{20,32}_[0-9a-f]{40}"),
    Shape(("bkua_",), r"\bbkua_[0-9a-f]{40}\b"),
    Shape(("sqp_", "squ_", "sqa_"), r"\bsq[pua]_[0-9a-f]{40}\b"),
    Shape(("lin_api_", "lin_oauth_"), r"\blin_(?:api|oauth)_[0-9A-Za-z]{40,64}"),
    Shape(("ntn_",), r"\bntn_[0-9A-Za-z]{40,64}"),
    Shape(("pmak-",), r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    Shape(("figd_",), r"\bfigd_[0-9A-Za-z_-]{36,64}"),
    Shape(("age-secret-key-1",), r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
    # Everybody: JSON Web Tokens, encrypted ones too
    Shape(("eyj",), r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]*+){1,3}"),
)

#: Names beside which a value is a secret.
_NAMES: Final = (
    r"pass(?:word|wd|phrase|code)|(?<=[_-])pass|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|token|api[_-]?key|apikey|"
    r"(?:access|private|auth|encryption|encrypt|signing|master|deploy|storage|account|license|consumer|ssh|app|service|"
    r"session|shared|client|webhook|jwt|hmac|aes)[_-]?key|credentials?|sharedaccesskey|(?<![A-Za-z0-9])_auth"
)

#: What such a name may end with.
_ENDS: Final = r"s?(?:[_-](?:hash|value|string|id|base|b64|base64|text|plain|[0-9]{1,2}))?"

_NAME: Final = rf"(?:{_NAMES}){_ENDS}"

#: A name, what assigns or compares, and a value: in code, env, JSON (also within JSON), YAML, URLs, reprs.
ASSIGNMENT: Final = (
    rf"(?i)(?P<name>{_NAME})"
    r"(?P<by>\\{0,3}[\"']?\]?[ \t]{0,8}(?:=>|:=|==|!=|[=:]|%3d)[ \t]{0,8})"
    r"(?P<value>[burf]{0,2}\\{0,3}\"(?:[^\"\\\n]|\\[^\"\n])*+(?:\\{0,3}\")?|[burf]{0,2}\\{0,3}'(?:[^'\\\n]|\\[^'\n])*+"
    r"(?:\\{0,3}')?|[^\s,;&\"'()\[\]{}<>\\]++(?![(\[]))"
)

#: Pieces, one of which is in every name.
NAME_HINTS: Final = ("pass", "pwd", "secret", "token", "key", "credential", "_auth")

#: Secrets that are known by where they stand; group 1 stays.
PLACES: Final = (
    Shape(("://",), r"(://[^\s/:@\"'<>]{0,256}:)(?![0-9]{1,5}[/?#])[^\s/\"'<>]{1,1024}(?=@)", rf"\1{MASK}"),
    Shape(("://",), r"(://)(?=[\w.~-]{0,255}[0-9])[\w.~-]{20,255}(?=(?::x-oauth-basic)?@)", rf"\1{MASK}"),
    Shape(
        ("authorization",),
        r"(?i)(\bauthorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?:aws4-hmac-sha256|digest|hawk|oauth|signature)[ ])"
        r"[^\r\n]{8,}+",
        rf"\1{MASK}",
    ),
    Shape(
        ("authorization",),
        r"(?i)(\bauthorization[\"']?,?\s{0,4}[:=]?\s{0,4}b?[\"']?(?:bearer|basic|token|apikey|ssws|splunk|key)\s{1,4})"
        r"[A-Za-z0-9._~+/=:-]{8,}+",
        rf"\1{MASK}",
    ),
    Shape(
        ("authorization", "bearer "),
        r"(?i)(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}b?[\"']?|\bbearer\s{1,4})"
        r"(?=[^\s]{0,64}[0-9])[A-Za-z0-9._~+/=:-]{8,}+(?![(\[])",
        rf"\1{MASK}",
    ),
    Shape(
        ("cookie",),
        r"(?i)(\b(?:set-)?cookie(?:[\"']?[ \t]{0,4}[:=]|[\"'],)[ \t]{0,4}b?[\"']?)"
        r"[^\s=;\"'(){}\[\]]{1,128}=[^\r\n\"']{4,}+",
        rf"\1{MASK}",
    ),
    Shape(
        ("sig", "code="),
        r"(?i)([?&](?:sig|signature|x-amz-signature|x-goog-signature|code)=)[A-Za-z0-9%+/=_-]{16,512}",
        rf"\1{MASK}",
    ),
    Shape(
        ("name",),
        rf"(?i)(\bname\\?[\"']?:\s{{0,4}}\\?[\"']?[\w.-]{{0,64}}{_NAME}\\?[\"']?,?\s{{0,64}}\\?[\"']?value\\?[\"']?:\s{{0,4}}\\?[\"']?)[^\s\"',}}\\]{{3,}}+",
        rf"\1{MASK}",
    ),
    Shape(
        NAME_HINTS,
        rf"(?i)(--[\w-]{{0,32}}?{_NAME}[\"']?,?[ \t]{{1,4}}[\"']?)(?!(?-i:[A-Z_]{{2,32}})(?:[\s\]\"',]|$)|[<\[-])"
        r"[^\s\"',]{4,}+",
        rf"\1{MASK}",
    ),
    Shape(
        NAME_HINTS,
        rf"(?i)(\(b?[\"'][\w.-]{{0,64}}?{_NAME}[\"'],[ \t]?b?[\"'])[^\"'\n]{{3,4096}}(?=[\"']\))",
        rf"\1{MASK}",
    ),
    Shape(NAME_HINTS, rf"(?i)(<[\w:.-]{{0,64}}?{_NAME}>)[^<>\n]{{3,1024}}(?=</)", rf"\1{MASK}"),
    Shape(("password",), r"(?i)(\blogin[ \t]{1,4}\S{1,128}[ \t]{1,4}password[ \t]{1,4})\S{1,256}", rf"\1{MASK}"),
    Shape(
        ("-u", "--user"),
        r"((?:^|\s)(?:-u|--user)[ =][\"']?[^\s:\"'/]{1,128}:)(?![0-9]{1,6}\b)[^\s\"']{3,256}",
        rf"\1{MASK}",
    ),
    Shape(("auth",), r"(\\?\"auth\\?\"\s{0,4}:\s{0,4}\\?\")[A-Za-z0-9+/=]{8,1024}", rf"\1{MASK}"),
)


#: A repetition that may go on further than this counts as one without bound.
LONG: Final = 1000

#: Repetitions that may give back what they took; possessive ones and atomic groups never do.
_GIVING_BACK: Final = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT})


def compiled(text: str) -> re.Pattern[str]:
    """Return the pattern. Raises re.error, also for one that a hostile text could keep busy for ever.

    That is one with a repetition, or a choice, within a repetition without bound: there are then exponentially many
    ways to divide a text between the two. A bound (`{1,20}`), a possessive repetition (`++`) or an atomic group makes
    it safe.
    """
    pattern = re.compile(text)
    for outer in _repetitions(_parser.parse(text)):
        if outer[1] > LONG and any(_undecided(outer[2])):
            raise re.error(
                "a repetition or choice within a repetition without bound can take for ever: bound the outer"
            )
    return pattern


def _repetitions(parsed: Any) -> Iterator[tuple[int, int, Any]]:
    """Yield (least, most, what) of every repetition that may give back, outer ones first."""
    for operation, argument in parsed:
        if operation in _GIVING_BACK:
            yield argument
        for inner in _inner(operation, argument):
            yield from _repetitions(inner)


def _undecided(parsed: Any) -> Iterator[bool]:
    """Yield for each operation within whether it may match one text in several ways."""
    for operation, argument in parsed:
        if operation in _GIVING_BACK:
            yield argument[0] != argument[1]
        yield operation == _constants.BRANCH
        if operation not in {_constants.ATOMIC_GROUP, _constants.POSSESSIVE_REPEAT}:
            for inner in _inner(operation, argument):
                yield from _undecided(inner)


def _inner(operation: Any, argument: Any) -> Iterator[Any]:
    """Yield the parts of an operation that are patterns themselves."""
    if operation in _GIVING_BACK or operation == _constants.POSSESSIVE_REPEAT:
        yield argument[2]
    elif operation == _constants.BRANCH:
        yield from argument[1]
    elif operation == _constants.SUBPATTERN:
        yield argument[3]
    elif operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
        yield argument[1]
    elif operation == _constants.ATOMIC_GROUP:
        yield argument
    elif operation == _constants.GROUPREF_EXISTS:
        yield from (branch for branch in argument[1:] if branch is not None)
