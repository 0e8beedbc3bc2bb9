"""The Chinese font of printed statements: of Noto Sans CJK, which comes as a package, what a statement uses.

The package has all weights in one variable font of a kind that PDF does not know: viewers show its thinnest weight, or
nothing. So the glyphs in use are drawn at one weight into a TrueType font, which every viewer shows.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import as_file, files
from io import BytesIO
from typing import Any, Final

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

REGULAR, BOLD = 400, 700
FONT_PACKAGE: Final = "manimgx_fonts_cjk"
FONT_FILE: Final = "NotoSansCJK-VF.otf.ttc"
SIMPLIFIED_CHINESE: Final = 2
"""Which font of the collection it is."""
FAMILY: Final = "Noto Sans CJK SC"
NO_GLYPH: Final = ".notdef"
_OUTLINE_ERROR_UNITS: Final = 1.0


def fonts_of(characters: Collection[str], weights: Sequence[int]) -> list[BytesIO]:
    """A font file of these characters for each weight; what the source has no glyph for is shown as an empty box."""
    with (
        as_file(files(FONT_PACKAGE) / FONT_FILE) as path,
        TTFont(path, fontNumber=SIMPLIFIED_CHINESE, lazy=True) as font,
    ):
        known = font.getBestCmap() or {}
        names = {ord(each): known[ord(each)] for each in sorted(characters) if ord(each) in known}
        return [_file(_at_weight(font, names, weight)) for weight in weights]


def _file(font: FontBuilder) -> BytesIO:
    file = BytesIO()
    font.save(file)
    file.seek(0)
    return file


def _at_weight(font: Any, names: Mapping[int, str], weight: int) -> FontBuilder:
    glyphs = font.getGlyphSet(location={"wght": weight})
    order = [NO_GLYPH, *dict.fromkeys(names.values())]
    builder = FontBuilder(font["head"].unitsPerEm, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(names)
    builder.setupGlyf({name: _outline(glyphs[name]) for name in order})
    drawn = builder.font["glyf"]
    builder.setupHorizontalMetrics({name: (round(glyphs[name].width), drawn[name].xMin) for name in order})
    builder.setupHorizontalHeader(ascent=font["hhea"].ascent, descent=font["hhea"].descent)
    builder.setupNameTable({"familyName": FAMILY, "styleName": str(weight)})
    builder.setupOS2(usWeightClass=weight)
    builder.setupPost()
    return builder


def _outline(glyph: Any) -> Any:
    pen = TTGlyphPen(None)
    glyph.draw(Cu2QuPen(pen, _OUTLINE_ERROR_UNITS, reverse_direction=True))
    return pen.glyph()
