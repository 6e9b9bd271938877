"""The frame of the sandbox's pages: one self-contained document, light and dark, readable on a phone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

#: Seconds in a minute and in an hour.
_MINUTE: Final = 60
_HOUR: Final = 3600

#: The style of every page.
_STYLE: Final = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2230;--soft:#667085;--line:#e4e7ec;--accent:#3b5bdb;
--PASSED:#12805c;--FAILED:#c4320a;--SKIPPED:#8a6d0b;--IN_PROGRESS:#3b5bdb;--other:#667085;--code:#f2f4f7}
@media (prefers-color-scheme:dark){:root{--bg:#11141a;--card:#1a1f28;--ink:#e7eaf0;--soft:#98a2b3;--line:#2b313d;
--accent:#91a7ff;--PASSED:#47cd97;--FAILED:#ff8a65;--SKIPPED:#f2c94c;--IN_PROGRESS:#91a7ff;--other:#98a2b3;
--code:#222834}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.25rem 1rem 4rem}
header.top{display:flex;align-items:center;gap:.75rem;flex-wrap:wrap;margin-bottom:1rem}
h1{font-size:1.35rem;line-height:1.3;margin:0;overflow-wrap:anywhere}h2{font-size:1rem;margin:1.5rem 0 .5rem}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.soft{color:var(--soft);font-size:.86rem}.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem}
.pad{padding:.9rem 1rem}.stack>*+*{margin-top:.6rem}
.row{display:flex;gap:.4rem .7rem;align-items:center;flex-wrap:wrap}
.pad>.row+.row,.bar+.row,.bar+p,.row+p{margin-top:.55rem}
.grow{flex:1;min-width:0;overflow-wrap:anywhere}
.pill{font-size:.7rem;font-weight:650;letter-spacing:.03em;padding:.1rem .5rem;border-radius:1rem;color:var(--s);
border:1px solid color-mix(in srgb,var(--s) 45%,transparent);background:color-mix(in srgb,var(--s) 11%,transparent);
white-space:nowrap}
.chip{font-size:.78rem;padding:.05rem .45rem;border-radius:.35rem;background:var(--code);overflow-wrap:anywhere}
.bar{display:flex;height:.4rem;border-radius:1rem;overflow:hidden;background:var(--line);margin-top:.6rem}
.bar i{background:var(--s)}p.words{margin:.55rem 0 0;white-space:pre-wrap;overflow-wrap:anywhere}
pre,code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{background:var(--code);border-radius:.25rem;padding:.05rem .3rem;overflow-wrap:anywhere}
.wide{overflow-x:auto}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}pre.box{background:var(--code);border-radius:.5rem;padding:.6rem}
details{border-top:1px solid var(--line)}.tree>details:first-child{border-top:0}
summary{list-style:none;cursor:pointer;padding:.55rem .9rem}summary::-webkit-details-marker{display:none}
summary:before{content:"\\203A";display:inline-block;width:1rem;color:var(--soft);transition:transform .1s}
details[open]>summary:before{transform:rotate(90deg)}details.leaf>summary:before{content:"\\B7"}
summary .row{display:inline-flex;width:calc(100% - 1.2rem);vertical-align:top}
.inside{padding:0 .9rem .8rem 2rem}.inside>*+*{margin-top:.5rem}.inside .tree{margin:.4rem -.9rem 0 -1rem}
.log{display:grid;grid-template-columns:10.5rem 1fr;gap:.1rem .6rem}.log .soft{white-space:nowrap}
img.shot{display:block;max-width:100%;max-height:16rem;margin:.3rem 0;border:1px solid var(--line);border-radius:.4rem}
.log.ERROR pre,.log.FATAL pre{color:var(--FAILED)}
nav{display:flex;gap:.4rem;flex-wrap:wrap;margin-bottom:1rem}
nav a{padding:.25rem .7rem;border-radius:1rem;border:1px solid var(--line);background:var(--card)}
nav a.here{background:var(--accent);border-color:var(--accent);color:var(--card)}
.msg{display:grid;grid-template-columns:2.25rem 1fr;gap:.15rem .7rem;
padding:.7rem 1rem;border-top:1px solid var(--line)}
.msg:first-child{border-top:0}.face{width:2.25rem;height:2.25rem;border-radius:.5rem;background:var(--accent);
color:var(--card);display:grid;place-items:center;font-weight:700}.face.hook{background:var(--soft)}
.msg>div{min-width:0;overflow-wrap:anywhere}.blocks>*+*{margin-top:.45rem}.blocks h3{margin:0;font-size:1.05rem}
.fields{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.4rem 1rem}
.beside{display:flex;gap:.4rem 1rem;justify-content:space-between;flex-wrap:wrap}.beside>:first-child{flex:1 1 12rem}
.meta{border:0;margin-top:.3rem}.meta summary{padding:0}
.button{display:inline-block;border:1px solid var(--line);border-radius:.4rem;padding:.2rem .7rem;font-weight:600}
blockquote{margin:0;padding-left:.7rem;border-left:.25rem solid var(--line)}
hr{border:0;border-top:1px solid var(--line)}
.replies{border-left:2px solid var(--line);margin:.5rem 0 0}.replies .msg{padding:.45rem 0 .45rem .8rem;border:0}
.replies .face{width:1.6rem;height:1.6rem;font-size:.75rem}.replies .msg{grid-template-columns:1.6rem 1fr}
@media (max-width:34rem){.inside{padding-left:1.1rem}.log{grid-template-columns:1fr}.log .soft{margin-top:.3rem}}
"""


def document(title: str, body: str) -> str:
    """Return a page; `title` is escaped here, `body` is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )


def pill(status: str) -> str:
    """Return a status as a coloured label."""
    return f'<span class="pill" style="--s:{colour(status)}">{escape(status.replace("_", " "))}</span>'


def colour(status: str) -> str:
    """Return the CSS colour of a status."""
    known = {"INFO": "PASSED", "WARN": "PASSED", "INTERRUPTED": "FAILED", "STOPPED": "FAILED", "CANCELLED": "SKIPPED"}
    name = known.get(status, status)
    return f"var(--{name if name in {'PASSED', 'FAILED', 'SKIPPED', 'IN_PROGRESS'} else 'other'})"


def moment(value: datetime) -> str:
    """Return an instant for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def span(value: timedelta) -> str:
    """Return a duration for people."""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
