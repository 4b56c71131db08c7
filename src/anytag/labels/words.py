"""Word lists of the caption parser: closed classes, numbers, generic words.

Written by hand: WordNet has no closed classes.
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(**classes: str) -> dict[str, str]:
    return {word: code for code, words in classes.items() for word in words.split()}


#: word -> closed class. D determiner, K possessive ending, Q number, O subject pronoun, J other
#: pronoun, B be, H have, F do, M modal, T to, I preposition, Y "of", C and/or, U but and
#: subordinators, W relative and question words, R adverb, X no/without, Z not
CLOSED = _table(
    D="a an the this these those my your his her its our their each every any some another both "
    "all such what whose ur every teh",
    O="i he she they we you who u",
    J="it me him them us himself herself itself themselves myself something someone anything "
    "nothing everything everyone nobody other others mine yours ones everybody somebody anyone "
    "none yourself",
    B="is are was were be been being am isn aren wasn weren 'm 're",
    H="has have had having hasn haven hadn 've",
    F="do does did don doesn didn doing done",
    M="can could will would shall should may might must ca wo couldn wouldn shouldn 'll gonna 'd",
    T="to",
    I="in on at by with from into onto over under above below behind beside besides between among "
    "through across along around near past off out inside outside toward towards against during "
    "after before for about up down upon within amid amidst atop beneath underneath beyond via "
    "like per alongside throughout opposite vs versus w/ w @ despite till until amongst aboard "
    "next except including",
    Y="of",
    C="and or & + nor n plus",
    U="but as while whilst because although since though if so yet than whereas",
    W="which where when why how that",
    R="very too also just together away back here there now then almost really quite only "
    "still already outdoors indoors upside ahead apart forward forwards backwards upwards aside "
    "again soon today tonight tomorrow yesterday ago ever even else instead later maybe perhaps "
    "rather well once twice always often sometimes downhill uphill nearby everywhere "
    "anymore either overhead midair downtown underwater abroad "
    "afar alone aloft alike somewhere "
    "anywhere halfway sideways onward afterwards mid most more less least much lol omg pls plz yay "
    "wow mmm hey hi hello oh thanks please sorry yes ok okay etc ie eg aka sooo soo",
    X="no without w/o lacking minus",
    Z="not n't never cannot",
)

_NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
#: number word -> value
NUMBERS = {
    **{
        word: value
        for value, word in enumerate(
            _NUMBER_WORDS.split(),
            start=1,
        )
    },
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "hundred": 100,
    "thousand": 1000,
    "dozen": 12,
}
#: words that count only before "of"
COUNTS_BEFORE_OF = {"couple": 2, "pair": 2, "trio": 3}
#: many without a number: between determiner and noun, and no tag
QUANTIFIERS = word_set(
    "several many few various multiple numerous different same own lots more most other fewer "
    "enough half first second third last next certain"
)

#: nouns that say nothing by themselves; they count inside compounds
GENERIC_NOUNS = word_set(
    "front side top back bottom middle center centre background foreground group pair piece lot "
    "kind type part edge end area view photo picture image photograph shot set bunch day "
    "time thing way number variety stock closeup close-up distance right left half sort style "
    "front series collection amount bit rest case place position direction inside outside "
    "year week month hour minute moment today size pic pics img dsc dscn jpg png jpeg http https "
    "www com html look use concept copy one ones etc everything version item "
    "example name word anything none self self-portrait midst"
)
GENERIC_VERBS = word_set(
    "be have do get make look take use go come show see put give keep let seem include contain "
    "feature need want try help set fill surround become turn appear begin start happen know think "
    "mean place allow base say tell call consist involve can may will top stay bring like reach "
    "bday require provide remain size color colour"
)
GENERIC_ADJECTIVES = word_set(
    "other same own such many much more most several few various different able certain due next "
    "last first second third only whole very main available up down top front back left right "
    "close side middle inside outside in out over off on "
    "away like worth one two three four five six "
    "seven eight nine ten both all some no"
)

#: plural forms that are names of one thing
KEEP_PLURAL = word_set(
    "glasses sunglasses eyeglasses pants jeans shorts trousers tights leggings overalls pajamas "
    "pyjamas scissors tweezers pliers tongs stairs goggles binoculars headphones earphones clothes "
    "graffiti woods ruins fireworks suspenders bangs groceries news athletics series "
    "species barracks gallows headquarters billiards darts gymnastics aerobics sweatpants "
    "briefs shears refreshments festivities greens sports bbq "
    "underpants panties slacks chopsticks maracas bagpipes bleachers"
)

#: -ing forms that describe a thing and do not name a sort of it: "falling leaves", not a compound
STATE_VERBS = word_set(
    "fall break burn steam rise set flow melt glow shine "
    "move float fly hang crash boil smoke bloom grow "
    "spin flash sparkle blow drip bleed freeze roll approach sink rust surround smile sleep bark "
    "rid overlook match interest amaze stun remain exist leave cross pass oncoming"
)
#: what an alt text says of itself; dropped at the end of a compound
PICTURE_NOUNS = word_set(
    "photo picture image photograph photography stock vector clipart footage wallpaper shot royalty"
)
JUNK = word_set("img dsc dscn dscf jpg jpeg png gif html http https www com")
