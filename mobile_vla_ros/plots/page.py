"""A report as one HTML file that opens offline: text, tables, figures inside the file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import write_text


@dataclass(frozen=True)
class Table:
    """A table: column titles and rows of printable values; None prints as an empty cell."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG file to be embedded, with a caption that also serves as its alternative text.

    ``width`` is a CSS length; empty shows the picture at its own size.
    """

    path: Path
    caption: str
    width: str = ""


@dataclass
class Section:
    """A heading and what stands below it, in order: str paragraphs, tables, pictures."""

    title: str
    content: list[str | Table | Picture] = field(default_factory=list)


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
     border-bottom: 1px solid #ccc; }
p.lead { font-size: 1.1rem; background: #eef4f8; border-left: 4px solid #0072B2;
         padding: .6rem .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
caption { caption-side: top; text-align: left; color: #555; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left;
         font-variant-numeric: tabular-nums; }
th { background: #f5f5f5; }
/* Narrow figures stand side by side. */
figure { margin: .8rem .8rem .8rem 0; display: inline-block; vertical-align: top;
         max-width: 100%; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; max-width: 33rem; }
footer { margin-top: 3rem; color: #777; font-size: .8rem; }
@media print { body { max-width: none; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if lead %}<p class="lead">{{ lead }}</p>{% endif %}
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% for item in section.content %}
{% if item is string %}<p>{{ item }}</p>
{% elif item.columns is defined %}<div class="scroll"><table>
{% if item.caption %}<caption>{{ item.caption }}</caption>{% endif %}
<thead><tr>
{% for column in item.columns %}<th scope="col">{{ column }}</th>{% endfor %}
</tr></thead>
<tbody>{% for row in item.rows %}
<tr>{% for cell in row %}<td>{{ '' if cell is none else cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% else %}<figure{% if item.width %} style="width: {{ item.width }}"{% endif %}>
<img alt="{{ item.caption }}" src="data:image/png;base64,{{ encode(item.path) }}">
<figcaption>{{ item.caption }}</figcaption></figure>
{% endif %}{% endfor %}{% endfor %}
<footer>{{ footer }}</footer>
</body>
</html>
"""


def write_page(
    path: str | Path, title: str, sections: Sequence[Section], *, lead: str = "", footer: str = ""
) -> Path:
    """Writes a self-contained HTML page (no scripts, no links to other files).

    Args:
        path: the file to write; replaced whole or not at all.
        title: heading of the page.
        sections: in order.
        lead: the one sentence that stands out on top.
        footer: provenance: versions, hashes, the command.

    Raises:
        InputError: a picture cannot be read, or the file cannot be written.
    """
    target = Path(path)

    def encode(picture: Path) -> str:
        return base64.b64encode(Path(picture).read_bytes()).decode()

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    try:
        text = environment.from_string(_TEMPLATE).render(
            title=title, sections=sections, lead=lead, footer=footer, encode=encode
        )
        write_text(target, text)
    except OSError as error:
        raise InputError(f"cannot write the report {target}: {error.strerror}") from error
    return target
