"""Made-up secrets in the places where real ones are found, and text that only looks like secrets. All from a seed.

Nothing here has the shape of a secret in the source: prefixes are joined when they are needed, or a scanner of this
repository would take them for real ones.
"""

from __future__ import annotations

import base64
import random
import string
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_B64 = _ALNUM + "+/"
_WORD = _ALNUM + "_-"


class Planted(NamedTuple):
    """A secret in a text."""

    #: What kind of secret.
    kind: str
    #: Where it stands.
    place: str
    #: The text.
    text: str
    #: The secret in it.
    secret: str


def _of(source: random.Random, alphabet: str, size: int) -> str:
    # Random enough to have a digit, as all real ones have.
    return "".join(source.choices(alphabet, k=size - 1)) + source.choice("0123456789")


def tokens(source: random.Random) -> dict[str, str]:
    """Return one token of each vendor, by its kind."""

    def make(*parts: str | tuple[str, int]) -> str:
        return "".join(part if isinstance(part, str) else _of(source, *part) for part in parts)

    upper = string.ascii_uppercase + "234567"
    return {
        "aws access key": make("AK", "IA", (upper, 16)),
        "aws session key": make("AS", "IA", (upper, 16)),
        "google api key": make("AI", "za", (_WORD, 35)),
        "google oauth": make("ya", "29.", (_WORD, 120)),
        "google client secret": make("GOC", "SPX-", (_WORD, 28)),
        "azure application secret": make((_ALNUM, 3), "8Q", "~", (_ALNUM, 34)),
        "azure devops": make((_ALNUM, 76), "AZ", "DO", (_ALNUM, 4)),
        "github": make("gh", "p_", (_ALNUM, 36)),
        "github app": make("gh", "s_", (_ALNUM, 36)),
        "github fine-grained": make("github", "_pat_", (_ALNUM, 22), "_", (_ALNUM, 59)),
        "gitlab": make("gl", "pat-", (_WORD, 20)),
        "gitlab runner": make("gl", "rt-", (_WORD, 20)),
        "atlassian": make("ATA", "TT3", (_WORD, 180)),
        "bitbucket": make("AT", "BB", (_ALNUM, 32)),
        "slack bot": make("xo", "xb-", (string.digits, 12), "-", (string.digits, 12), "-", (_ALNUM, 24)),
        "slack app": make("xa", "pp-1-A", (string.digits, 10), "-", (_HEX, 64)),
        "slack webhook": make(
            "https://hooks.sl", "ack.com/services/T", (upper, 8), "/B", (upper, 8), "/", (_ALNUM, 24)
        ),
        "discord webhook": make("https://disc", "ord.com/api/webhooks/", (string.digits, 18), "/", (_WORD, 68)),
        "telegram": make((string.digits, 9), ":A", "A", (_ALNUM, 33)),
        "stripe": make("sk", "_live_", (_ALNUM, 24)),
        "stripe restricted": make("rk", "_test_", (_ALNUM, 24)),
        "stripe webhook": make("wh", "sec_", (_ALNUM, 32)),
        "square": make("sq", "0atp-", (_WORD, 22)),
        "shopify": make("sh", "pat_", (_HEX, 32)),
        "npm": make("np", "m_", (_ALNUM, 36)),
        "pypi": make("py", "pi-AgEIcHlwaS5vcmc", (_WORD, 120)),
        "rubygems": make("ruby", "gems_", (_HEX, 48)),
        "docker": make("dc", "kr_pat_", (_WORD, 27)),
        "openai": make("s", "k-", (_ALNUM, 48)),
        "openai project": make("s", "k-proj-", (_WORD, 80)),
        "anthropic": make("s", "k-ant-api03-", (_WORD, 93)),
        "hugging face": make("h", "f_", (_ALNUM, 34)),
        "twilio": make("S", "K", (_HEX, 32)),
        "sendgrid": make("S", "G.", (_WORD, 22), ".", (_WORD, 43)),
        "mailgun": make("ke", "y-", (_HEX, 32)),
        "mailchimp": make((_HEX, 32), "-u", "s12"),
        "new relic": make("NR", "AK-", (upper, 27)),
        "sentry": make("snt", "rys_", (_ALNUM, 120)),
        "grafana": make("gl", "sa_", (_ALNUM, 32), "_", (_HEX, 8)),
        "vault": make("hv", "s.", (_WORD, 24)),
        "terraform": make((_ALNUM, 14), ".atlas", "v1.", (_ALNUM, 67)),
        "digitalocean": make("do", "p_v1_", (_HEX, 64)),
        "pulumi": make("pu", "l-", (_HEX, 40)),
        "doppler": make("d", "p.pt.", (_ALNUM, 43)),
        "tailscale": make("ts", "key-auth-", (_ALNUM, 12), "-", (_ALNUM, 32)),
        "databricks": make("da", "pi", (_HEX, 32)),
        "circleci": make("CCI", "PAT_", (_ALNUM, 22), "_", (_HEX, 40)),
        "buildkite": make("bk", "ua_", (_HEX, 40)),
        "sonarqube": make("sq", "p_", (_HEX, 40)),
        "linear": make("lin", "_api_", (_ALNUM, 40)),
        "postman": make("PM", "AK-", (_HEX, 24), "-", (_HEX, 34)),
        "figma": make("fi", "gd_", (_WORD, 40)),
        "json web token": make("ey", "JhbGciOiJIUzI1NiJ9.ey", (_WORD, 60), ".", (_WORD, 43)),
    }


#: Where a token is found that nothing beside it gives away.
TOKEN_PLACES: dict[str, str] = {
    "message": "E   AssertionError: server said 403 for {} at 12:00",
    "log": "2026-11-20 11:13:26 INFO  client: using {} (cached)",
    "json": '{{"user": "me", "thing": "{}", "n": 3}}',
    "repr": "E    +  where 401 = <Response [401]>.status_code; kwargs={{'x': '{}'}}",
    "url": "GET https://api.example.com/v1/things?x={}&page=2 HTTP/1.1",
    "line of its own": "before\n{}\nafter",
}

#: Where anything at all is a secret, for what stands beside it.
NAMED_PLACES: dict[str, str] = {
    "env": "DB_PASSWORD={}\nHOME=/root",
    "env export": 'declare -x AWS_SECRET_ACCESS_KEY="{}"',
    "env of a CI": "env:\n  DEPLOY_TOKEN: {}\n  SHELL: /bin/sh",
    "yaml": "database:\n  user: me\n  password: {}\n  port: 5432",
    "yaml of kubernetes": "- name: SMTP_PASSWORD\n  value: {}",
    "json": '{{"client_secret": "{}", "user": "me"}}',
    "json in json": '"body": "{{\\"api_key\\": \\"{}\\"}}"',
    "json of docker": '{{"auths": {{"r.example.com": {{"auth": "{}"}}}}}}',
    "dict": "{{'user': 'me', 'password': '{}'}}",
    "dict of bytes": "{{'password': b'{}'}}",
    "dataclass": "Settings(host='h', api_key='{}', port=1)",
    "camel case": "clientSecret: '{}',",
    "comparison": "E       assert settings.token == '{}'",
    "code": '>       connect("db", password="{}")',
    "environ": "os.environ['SECRET_KEY'] = '{}'",
    "set item": "monkeypatch.setenv('API_TOKEN', '{}')",
    "query": "https://example.com/cb?access_token={}&state=1",
    "signature": "https://x.blob.core.windows.net/c/b?sv=2021&sig={}",
    "connection string": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x",
    "dsn": "host=db user=me password={} dbname=x",
    "url": "amqps://me:{}@broker.example.com/ci",
    "url of git": "https://{}@git.example.com/acme/shop.git",
    "header": "Authorization: Bearer {}",
    "header basic": "> authorization: Basic {}",
    "header in a dict": "headers={{'Authorization': 'Bearer {}', 'Accept': '*/*'}}",
    "header without scheme": "Authorization: {}",
    "header of a vendor": "X-Vault-Token: {}",
    "header of a key": "DD-API-KEY: {}",
    "cookie": "Cookie: session={}; theme=dark",
    "set-cookie": "< set-cookie: sid={}; HttpOnly; Path=/",
    "flag": "mysql --user root --password {} db",
    "flags in a list": "['mysql', '--password', '{}']",
    "curl": "curl -u admin:{} https://example.com",
    "netrc": "machine example.com login me password {}",
    "npmrc": "//registry.npmjs.org/:_authToken={}",
    "pypirc": "[pypi]\nusername = __token__\npassword = {}",
    "xml": "<server><username>me</username><password>{}</password></server>",
    "cut off": "connect(password='{}",
    "terraform": 'secret_key = "{}"',
    "properties": "spring.datasource.password={}",
}


def _key(source: random.Random, kind: str, cut: str) -> Planted:
    lines = [_of(source, _B64, 64) for _ in range(12)]
    begin, end = (f"-----{word} {kind} KEY-----" for word in ("BEGIN", "END"))
    if "PGP" in kind:
        begin, end = begin.replace(" KEY", " KEY BLOCK"), end.replace(" KEY", " KEY BLOCK")
    kept = {"whole": [begin, *lines, end], "end missing": [begin, *lines], "begin missing": [*lines, end]}[cut]
    join = source.choice(["\n", "\nE   ", "\\n"]) if cut != "begin missing" else source.choice(["\n", "\nE   "])
    return Planted(f"{kind.lower()} key", cut, "before\n" + join.join(kept) + "\nafter", lines[5])


def planted(seed: int, rounds: int = 1) -> Iterator[Planted]:
    """Yield secrets of every kind in every place, `rounds` times."""
    source = random.Random(seed)
    for _ in range(rounds):
        for kind, token in tokens(source).items():
            # Of an address only the end is secret.
            secret = token.rpartition("/")[2] if "://" in token else token
            for place, template in TOKEN_PLACES.items():
                yield Planted(kind, place, template.format(token), secret)
        values: dict[str, Callable[[], str]] = {
            "random": lambda: _of(source, _ALNUM, source.randint(12, 48)),
            "base64": lambda: base64.b64encode(_of(source, _ALNUM, 24).encode()).decode(),
            "word with digits": lambda: _of(source, string.ascii_lowercase, 9),
        }
        for kind, make in values.items():
            for place, template in NAMED_PLACES.items():
                if place in {"url of git", "signature"} and kind != "random":
                    continue
                value = make() if place not in {"url of git", "signature"} else _of(source, _ALNUM, 40)
                yield Planted(kind, place, template.format(value), value)
        for kind in ("RSA " + "PRIVATE", "PRIVATE", "EC " + "PRIVATE", "OPENSSH " + "PRIVATE", "PGP " + "PRIVATE"):
            for cut in ("whole", "end missing", "begin missing"):
                yield _key(source, kind, cut)


def lookalikes(seed: int, size: int) -> str:
    """Return about `size` characters of what failures are full of, and that is no secret."""
    source = random.Random(seed)

    def hexadecimal(length: int) -> str:
        return "".join(source.choices(_HEX, k=length))

    def uuid() -> str:
        return "-".join(hexadecimal(length) for length in (8, 4, 4, 4, 12))

    def name() -> str:
        return "".join(source.choices(string.ascii_lowercase, k=source.randint(3, 10)))

    def number() -> int:
        return source.randint(0, 99999)

    makers: list[Callable[[], str]] = [
        lambda: (
            f'  File "/usr/lib/python3.11/site-packages/{name()}/{name()}.py", line {number()}, in {name()}_{name()}'
        ),
        lambda: f"commit {hexadecimal(40)} (HEAD -> {name()}/{name()}, tag: v1.{number()}.0)",
        lambda: f"sha256:{hexadecimal(64)}  /builds/{name()}/{name()}.whl",
        lambda: f"E       AssertionError: assert '{uuid()}' == '{uuid()}'",
        lambda: f"data:image/png;base64,iVBORw0KGgo{''.join(source.choices(_B64, k=source.randint(100, 2000)))}=",
        lambda: f"integrity sha512-{''.join(source.choices(_B64, k=86))}==",
        lambda: f"> {name()}(token, password=None, *, api_key: str | None = None, retries={number()})",
        lambda: f"SyntaxError: unexpected token: {name()} at {number()}:{number()}; expected token ';'",
        lambda: f"usage: {name()} [--password PASSWORD] [--token TOKEN] [-u USER] --key-file FILE",
        lambda: f"max_tokens={number()}, total_tokens: {number()}, tokens={number()}, cache_keys: {number()}",
        lambda: f"KeyError: '{name()}'  # primary_key={number()}, foreign_key={name()}.id, sort_key={name()}",
        lambda: (
            f"ssh://git@github.com/{name()}/{name()}.git#{hexadecimal(7)}  http://localhost:{number()}/x?e=a@b.example"
        ),
        lambda: f"docker run -u {number()}:{number()} -v /{name()}:/{name()} {name()}@sha256:{hexadecimal(64)}",
        lambda: f"<div class='sk-toggleable__label-arrow sk-estimator-doc-link-wrapper'>{name()}</div>",
        lambda: (
            f"{{'id': '{uuid()}', 'etag': 'W/\"{hexadecimal(32)}\"', 'key': '{name()}', 'n': {number()}.{number()}}}"
        ),
        lambda: (
            f"DEBUG {name()}.{name()}:{name()}.py:{number()} password changed for {name()}; token refreshed; auth ok"
        ),
        lambda: (
            f"tests/test_{name()}.py::test_{name()}[{name()}-{number()}-{hexadecimal(8)}] PASSED [ {number() % 100}%]"
        ),
        lambda: f"<{name().title()} object at 0x7f{hexadecimal(10)}>  {source.uniform(0, 1e6)!r}  {number()}ms",
        lambda: f"def test_{name()}_token_is_none(client, password, secret):  # token = make_token({name()})",
        lambda: f"token: str, password: SecretStr, secret=get_secret('{name()}'), key=lambda x: x.{name()}",
        lambda: f"Authorization = basic_authorization({name()}, {name()}) and Bearer authentication is required",
        lambda: f"Set-Cookie header is missing; cookies: {number()}; {name()}@{name()}.example.com wrote: pass",
    ]
    parts: list[str] = []
    total = 0
    while total < size:
        parts.append(source.choice(makers)())
        total += len(parts[-1]) + 1
    return "\n".join(parts)


def sources(limit: int) -> Iterator[tuple[str, str]]:
    """Yield name and text of modules of Python's own library, as failures quote such, up to so many characters."""
    left = limit
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"), key=lambda path: path.name):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield path.name, text
        left -= len(text)
        if left <= 0:
            return
