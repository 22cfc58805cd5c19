"""The words by which a follow-up is known, in four languages.

Nothing here names a subject: these are the words that point to something, join something on, or ask for a property of
something. What is not on these lists can be searched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CALENDAR", "ENGLISH", "FRENCH", "GERMAN", "LANGUAGES", "PERSONS", "SMALL_TALK", "Language", "words"]


def words(text: str) -> frozenset[str]:
    """Return the words of a text with spaces between them."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Language:
    """What the words of one language do; all in lower case.

    Attributes:
        stop: Words that say nothing to a search: articles, auxiliaries, question words and the like.
        questions: Question words; with one of them or an auxiliary a question is a sentence.
        auxiliaries: Verbs that ask: "does", "is" and the like.
        generic: Properties and acts that are always something's: a question of these alone names no subject.
        leads: First words that continue what was said.
        prepositions: First words of a fragment such as "in winter?".
        determiners: What a noun comes after that may be what a pronoun stands for.
        indefinite: Those of them that bring up something new.
        boundaries: Between what a pronoun stands for and the pronoun.
        pronouns: They stand for something named before.
        possessives: Likewise, before a noun.
        pointers: They point back, whatever stands before them.
        compared: They point back when nothing in the question is compared.
        than: What the other side of a comparison comes after.
        ones: They stand in for a noun.
    """

    stop: frozenset[str]
    questions: frozenset[str]
    auxiliaries: frozenset[str]
    generic: frozenset[str]
    leads: frozenset[str]
    prepositions: frozenset[str]
    determiners: frozenset[str]
    indefinite: frozenset[str]
    boundaries: frozenset[str]
    pronouns: frozenset[str]
    possessives: frozenset[str]
    pointers: frozenset[str]
    compared: frozenset[str]
    than: frozenset[str]
    ones: frozenset[str] = frozenset()


_ENGLISH_QUESTIONS = words("what who whom whose which when where why how what's who's where's when's how's")
_ENGLISH_AUXILIARIES = words(
    "is are was were am be been being do does did has have had can could will would shall should may might must what's"
    " who's where's when's how's it's that's there's isn't aren't doesn't don't didn't wasn't weren't can't won't i'm"
    " he's she's they're you're"
)
_ENGLISH_POSSESSIVES = words("its their his theirs hers")
_ENGLISH_PREPOSITIONS = words(
    "in on at for with without from to of by about after before during until till since under over between near inside"
    " outside into onto within except per as than through against around off"
)
_ENGLISH_DETERMINERS = words("the a an each every any no some all")

ENGLISH: Final = Language(
    stop=_ENGLISH_QUESTIONS
    | _ENGLISH_AUXILIARIES
    | _ENGLISH_POSSESSIVES
    | _ENGLISH_PREPOSITIONS
    | _ENGLISH_DETERMINERS
    | words(
        "and or but also so then else too again not it they them he him she her hers this that these those there here"
        " one ones i me my mine we us our you your yours self itself himself herself themselves if because while though"
        " although whether up down out just only even still yet already very much many more most less least few other"
        " others another same both either neither such own now ever never always please ok okay well yes get gets got"
        " let say says said anything something nothing everything anyone someone anybody somebody tell know like want"
        " need happen happens happened really far often long ago instead otherwise actually maybe exactly"
    ),
    questions=_ENGLISH_QUESTIONS,
    auxiliaries=_ENGLISH_AUXILIARIES,
    generic=words(
        "cost costs price prices fee owner owners owns owned name names called number size length width height"
        " weight depth age old big large small tall wide deep heavy expensive cheap fast slow colour color date day"
        " year month week time reason reasons cause purpose difference result results example examples detail details"
        " work works made make makes built build mean means meaning use uses used look looks start starts started end"
        " ends finish finished open opens opened close closes closed kept keep keeps come comes came go goes went going"
        " take takes took give gives gave pay pays paid buy bought sell sold live lives lived born sure explain"
        " elaborate continue steward keeper deputy skipper captain boss head manager director founder author"
        " successor predecessor address"
        " limit exception exceptions alternative alternatives rest details discount first second third last next"
        " previous possible allowed true right wrong best worst compare compared summary"
        " summarise summarize change changed changes"
    ),
    leads=words("and or but so then also otherwise plus nor"),
    prepositions=_ENGLISH_PREPOSITIONS,
    determiners=_ENGLISH_DETERMINERS,
    indefinite=words("a an each every any no some all"),
    boundaries=words(
        "and or but if when before after because while until who which that where since so as than though"
    ),
    pronouns=words("it they them he him she her"),
    possessives=_ENGLISH_POSSESSIVES,
    pointers=words("former latter aforementioned thereof therein"),
    compared=words(
        "cheaper older newer bigger larger smaller longer shorter faster slower better worse heavier lighter younger"
        " nearer closer stronger deeper taller wider same else other others another instead both either neither too"
        " again otherwise afterwards also"
    ),
    than=words("than"),
    ones=words("one ones"),
)

_GERMAN_QUESTIONS = words(
    "was wer wen wem wessen wann wo wohin woher warum wieso weshalb wie welche welcher welches welchen welchem womit"
    " wofür wozu"
)
_GERMAN_AUXILIARIES = words(
    "ist sind war waren bin sein gewesen hat haben hatte hatten wird werden wurde wurden kann können konnte muss müssen"
    " darf dürfen soll sollen will wollen gibt gab tut macht"
)
_GERMAN_ARTICLES = words("der die das den dem des ein eine einen einem einer eines jede jeder jedes kein keine alle")
_GERMAN_PREPOSITIONS = words(
    "in im an am auf aus bei beim mit nach von vom zu zum zur für über unter vor hinter neben zwischen durch ohne gegen"
    " um bis seit während wegen trotz ab pro"
)
_GERMAN_POSSESSIVES = words("seine seiner seinen seinem seines ihre ihrer ihren ihrem ihres deren dessen")

GERMAN: Final = Language(
    stop=_GERMAN_QUESTIONS
    | _GERMAN_AUXILIARIES
    | _GERMAN_ARTICLES
    | _GERMAN_PREPOSITIONS
    | _GERMAN_POSSESSIVES
    | words(
        "und oder aber auch denn dann noch so nur schon sehr mehr viel viele wenig nicht ja nein doch mal bitte er sie"
        " es ihn ihm ihr ihnen ich du wir mich mir dich dir uns euch man sich hier dort da dies diese dieser dieses"
        " diesen diesem jene jener jenes dass ob wenn weil als eigentlich genau etwa sonst lange oft"
    ),
    questions=_GERMAN_QUESTIONS,
    auxiliaries=_GERMAN_AUXILIARIES,
    generic=words(
        "kostet kosten preis alt groß hoch lang breit tief schwer teuer heißt name nummer grund farbe alter größe"
        " besitzer gehört liegt steht wohnt arbeitet dauert funktioniert bedeutet geht kommt anfang ende beispiel"
        " details erkläre genauer wert unterschied"
    ),
    leads=words("und oder aber auch sonst dann"),
    prepositions=_GERMAN_PREPOSITIONS,
    determiners=_GERMAN_ARTICLES,
    indefinite=words("ein eine einen einem einer eines jede jeder jedes kein keine alle"),
    boundaries=words("und oder aber wenn weil dass bevor nachdem während der die das als ob"),
    pronouns=words("er sie es ihn ihm ihr ihnen"),
    possessives=_GERMAN_POSSESSIVES,
    pointers=words(
        "davon dafür damit daran darauf dazu darin daraus dabei danach davor dagegen darüber darunter dort dorthin"
        " dorther diese dieser dieses diesen diesem jene jener jenes jenen derselbe dieselbe dasselbe"
        " ersterer letzterer"
    ),
    compared=words(
        "billigere billiger billigeren ältere älter älteren neuere größere größer größeren kleinere kleiner kleineren"
        " andere anderen anderer anderes zweite zweiten schneller besser auch stattdessen sonst beide"
    ),
    than=words("als"),
)

_FRENCH_QUESTIONS = words("que quoi qui quel quelle quels quelles quand où pourquoi comment combien est-ce qu'est-ce")
_FRENCH_AUXILIARIES = words(
    "est sont était étaient être a ont avait avoir peut peuvent doit faut est-ce qu'est-ce fait va c'est"
)
_FRENCH_ARTICLES = words("le la les l un une des du chaque tout tous toute toutes aucun aucune")
_FRENCH_PREPOSITIONS = words(
    "en à au aux de dans sur sous pour avec sans par chez vers entre depuis pendant avant après"
)
_FRENCH_POSSESSIVES = words("son sa ses leur leurs")

FRENCH: Final = Language(
    stop=_FRENCH_QUESTIONS
    | _FRENCH_AUXILIARIES
    | _FRENCH_ARTICLES
    | _FRENCH_PREPOSITIONS
    | _FRENCH_POSSESSIVES
    | words(
        "et ou mais aussi alors donc ne pas plus moins très si il elle ils elles lui je tu nous vous me te se on ce"
        " cet cette ces ça cela ceci celui celle ceux celles ici là même d s qu t n j m non oui qu'il qu'elle qu'ils"
        " qu'elles l'a l'ont l'avait"
    ),
    questions=_FRENCH_QUESTIONS,
    auxiliaries=_FRENCH_AUXILIARIES,
    generic=words(
        "coûte coûtent prix coût nom numéro âge taille longueur poids couleur raison appelle signifie marche habite"
        " dure commence finit propriétaire exemple détails expliquer différence vieux grand long y"
    ),
    leads=words("et ou mais alors donc sinon"),
    prepositions=_FRENCH_PREPOSITIONS,
    determiners=_FRENCH_ARTICLES,
    indefinite=words("un une chaque tout tous aucun aucune"),
    boundaries=words("et ou mais si quand parce avant après qui que où lorsque"),
    pronouns=words("il elle ils elles lui qu'il qu'elle qu'ils qu'elles l'a l'ont l'avait"),
    possessives=_FRENCH_POSSESSIVES,
    pointers=words("celui celle ceux celles celui-ci celui-là celle-ci celle-là ça cela ceci cette cet ces là-bas"),
    compared=words("aussi autre autres pareil pareille deuxième second seconde meilleur meilleure même mêmes"),
    than=words("que"),
)

_SPANISH_QUESTIONS = words("qué quién quiénes cuál cuáles cuándo dónde adónde cómo cuánto cuánta cuántos cuántas")
_SPANISH_AUXILIARIES = words(
    "es son era eran fue fueron ser está están estaba hay ha han había tiene tienen puede pueden debe deben hace va"
)
_SPANISH_ARTICLES = words("el la los las un una unos unas cada todo todos toda todas ningún ninguna")
_SPANISH_PREPOSITIONS = words("en a al de del con sin por para sobre entre desde hasta hacia según durante tras")
_SPANISH_POSSESSIVES = words("su sus suyo suya")

_SPANISH: Final = Language(
    stop=_SPANISH_QUESTIONS
    | _SPANISH_AUXILIARIES
    | _SPANISH_ARTICLES
    | _SPANISH_PREPOSITIONS
    | _SPANISH_POSSESSIVES
    | words(
        "y e o u pero también entonces no sí si muy más menos se lo le les me te nos yo tú él ella ellos ellas usted"
        " que porque como este esta estos estas ese esa esos esas eso esto aquel aquella allí ahí aquí ya"
    ),
    questions=_SPANISH_QUESTIONS,
    auxiliaries=_SPANISH_AUXILIARIES,
    generic=words(
        "cuesta cuestan precio nombre número edad tamaño largo peso color razón llama significa funciona vive dura"
        " empieza termina dueño ejemplo detalles explica diferencia viejo grande"
    ),
    leads=words("y e o u pero entonces además"),
    prepositions=_SPANISH_PREPOSITIONS,
    determiners=_SPANISH_ARTICLES,
    indefinite=words("un una cada todo todos ningún ninguna"),
    boundaries=words("y o pero si cuando porque antes después que donde"),
    pronouns=words("él ella ellos ellas lo"),
    possessives=_SPANISH_POSSESSIVES,
    pointers=words("eso esto ese esa esos esas este estos estas aquel aquella aquellos allí ahí"),
    compared=words("también otro otra otros otras mismo misma segundo segunda mejor demás"),
    than=words("que"),
)

LANGUAGES: Final = (ENGLISH, GERMAN, FRENCH, _SPANISH)

PERSONS: Final = words("he him his she her hers er ihn ihm il elle lui él ella")
"""Pronouns that stand for a person, in any language."""

CALENDAR: Final = words(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays"
    " sundays january february march april may june july august september october november december christmas easter"
)
"""Capitals that name no one."""

SMALL_TALK: Final = words(
    "hi there hello hey hiya greetings good morning afternoon evening night bye goodbye thanks thank you cheers ok okay"
    " great cool nice fine perfect wonderful yes no yeah yep nope sorry please welcome lol wow alright so much very"
    " well"
    " hallo guten tag morgen abend danke tschüss moin servus bonjour salut merci bonsoir au revoir"
    " hola gracias buenos buenas días tardes noches adiós"
)
