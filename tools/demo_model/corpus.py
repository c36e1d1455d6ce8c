"""Text to speak: sentences put together at random from word lists, in five languages. Meaning is not needed."""

_WORDS = {
    "en": """people morning beautiful window garden always remember project water little family promise before number
        happy umbrella yellow purple brother mother father music evening weather simple problem voyage judge measure
        thing other leather through beyond yesterday people shoe open blue moon food good book put voice boy now house
        about down light white fire ice make day they stay go home over bone far car start heart law talk walk thought
        bird learn word work cat map apple happen bed seven ten best bit ship river very five love move have give
        village quickly question quiet language world year young yes change church nature picture much jump bridge""",
    "de": """Morgen Mensch Frau schön heute Wasser Fenster Garten immer Brot Blume Mutter Vater Bruder kommen gehen
        über grün müde Tür Buch Nacht Licht ich auch machen Straße Stein Spiel sprechen zwei drei fünf sieben zehn
        Haus Baum Auge laufen neu heute Leute Feuer weiß klein Zeit viel lieben Königin Möbel öffnen böse höher Apfel
        Pfanne Katze Vogel Wolke Wind Welt Jahr jung ja jeder Junge singen lang Zeitung wunderbar Papier lampe Problem""",
    "es": """mañana mujer agua ventana jardín siempre pan flor madre padre hermano venir hablar verde noche luz camino
        piedra juego dos tres cinco siete casa árbol ojo nuevo fuego blanco pequeño tiempo mucho amar reina abrir
        montaña lluvia calle perro gato pájaro nube viento mundo año joven cantar largo papel problema bueno ahora""",
    "fr": """bonjour femme eau fenêtre jardin toujours pain fleur mère père frère venir parler vert nuit lumière chemin
        pierre jeu deux trois cinq sept maison arbre oeil nouveau feu blanc petit temps beaucoup aimer reine ouvrir
        montagne pluie rue chien chat oiseau nuage vent monde année jeune chanter long papier problème bon bleu""",
    "it": """mattina donna acqua finestra giardino sempre pane fiore madre padre fratello venire parlare verde notte
        luce cammino pietra gioco due tre cinque sette casa albero occhio nuovo fuoco bianco piccolo tempo molto amare
        regina aprire montagna pioggia strada cane gatto uccello nuvola vento mondo anno giovane cantare lungo""",
}
# The words that are most of what people say, and sound least like they are written.
_SMALL = {
    "en": """the a and of to in is you that it he was for on are as with his they I at be this from have or by one had not
        but what all were when we there can an your which their said if do will each about how up out them she many some so
        these would other into has more her two like him see could no make than been its who did my am me our us please""",
    "de": """der die das und in zu den ist nicht von sie mit dem sich auf für im es ein eine als auch an so wie er wir ihr
        aber hat nur oder bei einen um am sind noch nach wird aus einem mein dein kann wenn was über zum zur mir mich dir
        dich uns euch ja nein da hier du habe bin war sein ihre wo wer meine bitte doch schon mal""",
    "es": "el la de que y en un una ser se no haber por con su para como estar tener le lo todo pero más hacer o me ya mi",
    "fr": "le la de un une être et à il avoir ne je son que se qui ce dans en du elle au pour pas vous par sur mon ma nous",
    "it": "il la di che e un una essere per in non a si lo con ma come su mi ha io anche o se da più mio del della sono",
}
_VOICES = {"en": ("en", "en-us", "en-gb-scotland"), "de": ("de",), "es": ("es",), "fr": ("fr",), "it": ("it",)}
# The synthesiser's own voices; the odd ones (whisper, robots, echo) are left out.
SPEAKERS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "Andy", "Annie", "steph", "max",
             "Alex", "linda", "john", "paul", "belinda", "david")
# Kept away from training, to test with.
TEST_SPEAKERS = ("m8", "Michael", "Alicia")


def sentence(random, language):
    lists = [_WORDS[language].split()] * 3 + [_SMALL[language].split()] * 2
    parts = [" ".join(random.choice(random.choice(lists)) for _ in range(random.randint(1, 7)))
             for _ in range(random.randint(1, 4))]
    return ", ".join(parts).capitalize() + random.choice("..?!")


def utterance(random, speakers=SPEAKERS):
    """Arguments of Espeak.speak() for some seconds of speech."""
    language = random.choice(("en", "en", "en", "de", "de", "es", "fr", "it"))
    voice = random.choice(_VOICES[language])
    if random.random() < 0.9:
        voice += "+" + random.choice(speakers)
    text = " ".join(sentence(random, language) for _ in range(random.randint(1, 3)))
    return dict(text=text, voice=voice, speed=random.randint(125, 205), pitch=random.randint(25, 75),
                pitch_range=random.randint(25, 75), gap=random.choice((0, 0, 0, 2, 6)))
