"""What of an answer is said aloud, and how: the tables are the documentation."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.speech import speakable

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
MARKED = st.one_of(
    SENTENCES,
    SENTENCES.map(lambda text: f"**{text}**"),
    SENTENCES.map(lambda text: f"*{text}*"),
    SENTENCES.map(lambda text: f"__{text}__"),
    SENTENCES.map(lambda text: f"`{text}`"),
    SENTENCES.map(lambda text: f"~~{text}~~"),
    SENTENCES.map(lambda text: f"<em class='a'>{text}</em>"),
    SENTENCES.map(lambda text: f"[{text}](https://example.org/{text.replace(' ', '-')})"),
    SENTENCES.map(lambda text: f"![{text}](image-{text.replace(' ', '-')}.png)"),
    SENTENCES.map(lambda text: f"{text} [1][2]"),
)
LINES = st.one_of(
    MARKED,
    MARKED.map(lambda text: f"- {text}"),
    MARKED.map(lambda text: f"## {text}"),
    MARKED.map(lambda text: f"> {text}"),
    MARKED.map(lambda text: f"1. {text}"),
    MARKED.map(lambda text: f"| {text} | {text} |\n|---|---|"),
    SENTENCES.map(lambda text: f"```\n{text.upper()}\n```"),
    st.just("---"),
)
DOCUMENTS = st.lists(LINES, min_size=1, max_size=8).map("\n\n".join)


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("# Title\n\ntext", "Title\ntext"),
        ("## Closed ##\ntext", "Closed\ntext"),
        ("**bold** and *slanted* and ***both***", "bold and slanted and both"),
        ("__bold__ and _slanted_ but snake_case_name", "bold and slanted but snake_case_name"),
        ("2 * 3 * 4 is 24", "2 * 3 * 4 is 24"),
        ("~~old~~ new", "old new"),
        ("half**way** there", "halfway there"),
        ("2**3 is 8 and 2*3 is 6", "2**3 is 8 and 2*3 is 6"),
        ("an *open mark and a `tick", "an open mark and a tick"),
        (r"a \*star\* and \[brackets\]", "a *star* and brackets"),
        ("run `make test` now", "run make test now"),
        ("call `open()` or ``a[0]``.", "call open or a 0."),
        ("before\n```sh\nrm -rf /\n```\nafter", "before\nafter"),
        ("before\n~~~\ncode\n~~~\nafter", "before\nafter"),
        ("before\n````md\n```\ninner\n```\n````\nafter", "before\nafter"),
        ("before\n```\nnever closed", "before"),
        ("see [the page](https://example.org/a?b=c)", "see the page"),
        ("see [a page](https://example.org/a_(b)) now", "see a page now"),
        ('see [a page](https://example.org "Its title") now', "see a page now"),
        ("see [a page](https://example.org/never closed", "see a page closed"),
        ("see [a page][reference] now", "see a page now"),
        ("[reference]: https://example.org/a\nwords", "words"),
        ("see ![a picture](pic.png)", "see a picture"),
        ("at https://example.org/x now", "at example.org now"),
        ("at <https://www.example.org/x>.", "at example.org."),
        ("It is (https://example.org/c).", "It is (example.org)."),
        ("write to <help@example.org>", "write to help@example.org"),
        ("opens at nine [1], closes at five [2][3].", "opens at nine, closes at five."),
        ("opens at nine [1, 2].", "opens at nine."),
        ("opens at nine ([1](https://example.org/1)).", "opens at nine."),
        ("a note[^1] here【4†source】.", "a note here."),
        ("- one\n* two\n+ three\n1. four\n2) five\n- [x] six\n\u2022 seven", "one\ntwo\nthree\nfour\nfive\nsix\nseven"),
        ("42. That is the answer.", "42. That is the answer."),
        ("> quoted", "quoted"),
        ("> - **quoted** item", "quoted item"),
        ("above\n\n---\n\nbelow", "above\nbelow"),
        ("Title\n=====\ntext", "Title\ntext"),
        ("| a | b |\n|---|:--|\n| 1 | 2 |", "a, b\n1, 2"),
        ("5 - 3", "5 - 3"),
        ("<b>bold</b><br>next <a href='x'>link</a>", "bold\nnext link"),
        ("ask <your name> if a < b", "ask your name if a < b"),
        ("Fish &amp; chips&nbsp;&#8212; &lt;", "Fish & chips \u2014 <"),
        ("Great \U0001f389! Go \U0001f469\u200d\U0001f469\u200d\U0001f467 on \u2714", "Great! Go on"),
        ("10\u00a0000\u00a0km", "10000 km"),
        ("grüße aus köln, 你好", "grüße aus köln, 你好"),
    ],
)
def test_markup_is_not_said_in_any_language(markdown: str, words: str) -> None:
    assert speakable(markdown, "de") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,234.5 and 0.05", "one thousand two hundred thirty-four point five and zero point zero five"),
        ("1000000", "one million"),
        ("in 1984, 2005 and 2026", "in nineteen eighty-four, two thousand five and twenty twenty-six"),
        ("1,984 people and 1984 people", " and ".join(["one thousand nine hundred eighty-four people"] * 2)),
        ("the 1990s and the '80s", "the nineteen nineties and the 'eighties"),
        ("the 1st, 22nd and 103rd", "the first, twenty-second and one hundred third"),
        ("pages 3-5, 2019\u20132024", "pages three to five, twenty nineteen to twenty twenty-four"),
        ("14:30, 9:05 am, 9:00 and 24/7", "fourteen thirty, nine oh five a m, nine o'clock and twenty-four seven"),
        ("from 10:00-18:00", "from ten o'clock to eighteen hundred"),
        ("on 2026-11-20.", "on November twentieth twenty twenty-six."),
        ("November 20, 2026", "November twentieth, twenty twenty-six"),
        ("on 20 November", "on the twentieth of November"),
        ("Nov. 3", "November third"),
        ("2026-11-20T14:30:00Z", "November twentieth twenty twenty-six at fourteen thirty"),
        ("$5.20 and \u20ac3", "five dollars and twenty cents and three euros"),
        ("$1.5 million, 5 \u20ac, \u00a30.01", "one point five million dollars, five euros, one penny"),
        ("$10-20 or $10K", "ten to twenty dollars or ten thousand dollars"),
        ("12.5%, 12 % and 3-5%", "twelve point five percent, twelve percent and three to five percent"),
        ("call 555-1234", "call five five five, one two three four"),
        ("+1 (555) 123-4567", "plus one, five five five, one two three, four five six seven"),
        ("0800 123 456", "zero eight zero zero, one two three, four five six"),
        ("agent 007", "agent zero zero seven"),
        ("-5 \u00b0C, ~10 and #1", "minus five degrees Celsius, about ten and number one"),
        ("1/2, 3/4 and 1 1/2 cups", "one half, three quarters and one and a half cups"),
        ("2.4.1 and 1e-5", "two dot four dot one and one times ten to the power of minus five"),
        ("16:9 and 3x4", "sixteen to nine and three by four"),
        ("MP3, a 5-year-old and GPT-4", "MP three, a five-year-old and GPT-four"),
    ],
)
def test_numbers_are_said_in_english(text: str, words: str) -> None:
    assert speakable(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 km/h, 2 km/h", "one kilometer per hour, two kilometers per hour"),
        ("20\u00b0C or 20 \u00b0C.", "twenty degrees Celsius or twenty degrees Celsius."),
        ("512 MB and 3 kWh", "five hundred twelve megabytes and three kilowatt hours"),
        ("20 m\u00b2 and 5 kg/m\u00b3", "twenty square meters and five kilograms per cubic meter"),
        ("3\u20135 km", "three to five kilometers"),
        ("$0.30/kWh", "thirty cents per kilowatt hour"),
        ("in km/h", "in kilometers per hour"),
        ("a 90\u00b0 angle", "a ninety degrees angle"),
        ("10 A at 3D", "ten A at three D"),
    ],
)
def test_units_are_said_in_english(text: str, words: str) -> None:
    assert speakable(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fruit, e.g. apples, i.e., these.", "Fruit, for example apples, that is, these."),
        ("Apples, pears, etc. And so on.", "Apples, pears, et cetera. And so on."),
        ("Dr. Smith vs. Mrs. Jones", "Doctor Smith versus Missus Jones"),
        ("at 5 Main St. in St. Louis", "at five Main Street in Saint Louis"),
        ("approx. 5", "approximately five"),
        ("No. 5 is alive. No. Not at all.", "number five is alive. No. Not at all."),
        ("see Fig. 2 on p. 7", "see figure two on page seven"),
        ("the U.S. Army", "the U S Army"),
        ("in the U.S. The end", "in the U S. The end"),
        ("at 9 a.m. (or 5 p.m.)", "at nine a m (or five p m)"),
        ("Elizabeth II and Chapter IV", "Elizabeth II and Chapter IV"),
        ("AT&T, R&D & more", "AT and T, R and D and more"),
        ("a + b = c", "a plus b equals c"),
        ("x < 5 and y >= 3", "x less than five and y greater than or equal to three"),
        ("x^2 and 2**3", "x squared and two cubed"),
        ("5 - 3 and 5 \u2013 3", "five minus three and five to three"),
        ("C++, C# and F#", "C plus plus, C sharp and F sharp"),
        ("snake_case and example.org", "snake case and example dot org"),
        ("help@example.org", "help at example dot org"),
        ("A \u2192 B, A -> B", "A to B, A to B"),
        ("`git commit -m` in /usr/bin", "git commit dash m in slash usr bin"),
        ("and/or, w/o, TCP/IP", "and or, without, TCP IP"),
        ("a well-known half-life \u2013 it is", "a well-known half-life \u2013 it is"),
    ],
)
def test_abbreviations_and_symbols_are_said_in_english(text: str, words: str) -> None:
    assert speakable(text) == words


@pytest.mark.parametrize("language", ["de", "fr", "zh-CN", "es_MX"])
def test_other_languages_keep_their_numbers(language: str) -> None:
    text = "Um 14:30 Uhr, z. B. 3,5 km & 5 \u20ac"
    assert speakable(f"**{text}** [1]", language) == text


@pytest.mark.parametrize("language", ["en", "EN", "en-US", "en_GB", ""])
def test_english_is_known_by_its_tags(language: str) -> None:
    assert speakable("3 km", language) == "three kilometers"


def test_dates_with_slashes_follow_the_region() -> None:
    assert speakable("3/4/2026", "en-US") == "March fourth twenty twenty-six"
    assert speakable("3/4/2026", "en-GB") == "April third twenty twenty-six"
    assert speakable("25/4/2026", "en-US") == "April twenty-fifth twenty twenty-six"
    assert speakable("25.4.2026") == "April twenty-fifth twenty twenty-six"


@given(DOCUMENTS)
def test_no_markup_is_left_of_well_formed_text(markdown: str) -> None:
    said = speakable(markdown, "de")
    for mark in ("**", "__", "~~", "`", "](", "://", "##", "[1]", "|", "<"):
        assert mark not in said
    assert not re.search(r"[A-Z]", said), "code is not said"


@given(DOCUMENTS)
def test_every_word_outside_code_is_said(markdown: str) -> None:
    text = re.sub(r"\(\S*\)|<[^>]*>", "", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL))
    assert re.findall(r"[a-z]+", speakable(markdown, "de")) == re.findall(r"[a-z]+", text)


@given(DOCUMENTS, st.sampled_from(["en", "de"]))
def test_what_is_speakable_stays_as_it_is(markdown: str, language: str) -> None:
    said = speakable(markdown, language)
    assert speakable(said, language) == said


@given(st.text(max_size=300), st.sampled_from(["en", "de"]))
def test_any_text_can_be_taken(text: str, language: str) -> None:
    said = speakable(text, language)
    assert "```" not in said
    assert "](" not in said
    assert said == said.strip()
    assert "\n\n" not in said
    assert "  " not in said


@given(st.text("0123456789.,:-/$%\u20ac#+ kmGBh\u00b0Cst()\n", max_size=40))
def test_no_digit_is_left_in_english(text: str) -> None:
    assert not re.search(r"[0-9]", speakable(text))
