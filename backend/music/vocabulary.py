"""Words for genres, moods, tempi and instruments, as people write them."""

from __future__ import annotations

GENRE_WORDS = {
    "pop": "pop", "synthpop": "pop", "synth-pop": "pop", "k-pop": "pop", "indie": "pop", "disco": "electronic",
    "rock": "rock", "metal": "rock", "punk": "rock", "grunge": "rock", "jazz": "jazz", "jazzy": "jazz", "bebop": "jazz",
    "swing": "jazz", "big band": "jazz", "blues": "blues", "bluesy": "blues", "funk": "funk", "funky": "funk",
    "soul": "funk", "classical": "classical", "baroque": "classical", "chamber": "classical", "minuet": "classical",
    "orchestral": "orchestral", "orchestra": "orchestral", "symphonic": "orchestral", "cinematic": "orchestral",
    "soundtrack": "orchestral", "film score": "orchestral", "folk": "folk", "celtic": "folk", "irish": "folk",
    "acoustic": "folk", "jig": "folk", "country": "country", "bluegrass": "country", "latin": "latin",
    "bossa nova": "latin", "bossa": "latin", "samba": "latin", "salsa": "latin", "reggae": "reggae", "ska": "reggae",
    "electronic": "electronic", "edm": "electronic", "techno": "electronic", "house music": "electronic",
    "deep house": "electronic", "trance": "electronic", "dance": "electronic", "ambient": "ambient", "new age": "ambient",
    "drone": "ambient", "meditation": "ambient", "lofi": "lofi", "lo-fi": "lofi", "lo fi": "lofi", "hip hop": "lofi",
    "hip-hop": "lofi", "chillhop": "lofi", "world music": "world", "world": "world", "asian": "world", "ethnic": "world",
}  # fmt: skip
MOOD_WORDS = {
    "happy": ("happy", "joyful", "cheerful", "cheery", "uplifting", "bright", "merry", "playful", "sunny", "fun", "feel-good"),
    "energetic": ("energetic", "exciting", "powerful", "party", "driving", "lively", "upbeat"),
    "calm": ("calm", "peaceful", "gentle", "relaxing", "relaxed", "soothing", "serene", "quiet", "soft", "chill", "mellow",
             "dreamy", "tranquil"),
    "romantic": ("romantic", "tender", "warm", "love", "loving", "intimate"),
    "sad": ("sad", "melancholic", "melancholy", "sorrowful", "mournful", "gloomy", "lonely", "nostalgic"),
    "dark": ("dark", "mysterious", "brooding", "ominous", "spooky", "moody", "haunting", "eerie"),
    "tense": ("tense", "dramatic", "urgent", "suspenseful", "aggressive", "angry", "intense"),
    "epic": ("epic", "heroic", "triumphant", "majestic", "grand", "inspiring"),
}  # fmt: skip
# Ranges in beats a minute.
TEMPO_WORDS = {
    "very slow": (60, 66), "very slowly": (60, 66), "slow": (60, 78), "slowly": (60, 78), "unhurried": (70, 88),
    "mid-tempo": (92, 112), "midtempo": (92, 112), "medium tempo": (92, 112), "moderate": (92, 112),
    "moderate tempo": (92, 112), "fast": (132, 164), "quick": (128, 156), "very fast": (164, 180), "uptempo": (124, 156),
    "up-tempo": (124, 156), "upbeat": (116, 150), "lively": (116, 150), "largo": (60, 64), "adagio": (66, 76), "andante": (76, 96),
    "moderato": (100, 116), "allegretto": (112, 120), "allegro": (120, 152), "vivace": (152, 172), "presto": (168, 180),
}  # fmt: skip
# Instruments of one meaning; GUITAR, BASS and DRUMS depend on the genre.
GUITAR, BASS, DRUMS = "guitar", "bass", "drums"
INSTRUMENT_WORDS: dict[str, tuple[str, ...]] = {
    "piano": ("piano",), "grand piano": ("piano",), "keyboard": ("piano",), "keys": ("piano",),
    "electric piano": ("electric piano",), "rhodes": ("electric piano",), "harpsichord": ("harpsichord",),
    "celesta": ("celesta",), "glockenspiel": ("glockenspiel",), "bells": ("glockenspiel",), "music box": ("celesta",),
    "vibraphone": ("vibraphone",), "vibes": ("vibraphone",), "marimba": ("marimba",), "xylophone": ("marimba",),
    "organ": ("organ",), "hammond": ("organ",), "hammond organ": ("organ",), "reed organ": ("reed organ",),
    "harmonium": ("reed organ",), "accordion": ("accordion",), "harmonica": ("harmonica",),
    "nylon guitar": ("nylon guitar",), "classical guitar": ("nylon guitar",), "spanish guitar": ("nylon guitar",),
    "acoustic guitar": ("acoustic guitar",), "steel guitar": ("acoustic guitar",), "jazz guitar": ("jazz guitar",),
    "clean guitar": ("electric guitar",), "electric guitar": ("electric guitar",),
    "distorted guitar": ("distorted guitar",), "distortion guitar": ("distorted guitar",),
    "heavy guitar": ("distorted guitar",), "guitar": (GUITAR,),
    "double bass": ("double bass",), "upright bass": ("double bass",), "acoustic bass": ("double bass",),
    "contrabass": ("double bass",), "electric bass": ("electric bass",), "bass guitar": ("electric bass",),
    "synth bass": ("synth bass",), "bass": (BASS,), "bassline": (BASS,), "bass line": (BASS,),
    "violin": ("violin",), "fiddle": ("violin",), "cello": ("cello",), "violoncello": ("cello",),
    "pizzicato": ("pizzicato strings",), "pizzicato strings": ("pizzicato strings",), "harp": ("harp",),
    "strings": ("strings",), "string section": ("strings",), "string orchestra": ("strings",),
    "string quartet": ("violin", "strings", "cello"), "choir": ("choir",), "voices": ("choir",), "vocals": ("choir",),
    "trumpet": ("trumpet",), "trombone": ("trombone",), "tuba": ("tuba",), "french horn": ("french horn",),
    "horn": ("french horn",), "horns": ("trumpet", "trombone"), "brass": ("trumpet", "trombone"),
    "brass section": ("trumpet", "trombone"), "saxophone": ("saxophone",), "sax": ("saxophone",),
    "alto sax": ("saxophone",), "tenor sax": ("saxophone",), "oboe": ("oboe",), "bassoon": ("bassoon",),
    "clarinet": ("clarinet",), "flute": ("flute",), "recorder": ("recorder",), "pan flute": ("pan flute",),
    "panpipes": ("pan flute",), "woodwinds": ("flute", "clarinet"), "synth lead": ("saw lead",), "saw lead": ("saw lead",),
    "square lead": ("square lead",), "chiptune lead": ("square lead",), "synth": ("saw lead",),
    "synthesizer": ("saw lead",), "synth pad": ("synth pad",), "pad": ("synth pad",), "bell pad": ("bell pad",),
    "sitar": ("sitar",), "banjo": ("banjo",), "koto": ("koto",), "kalimba": ("kalimba",), "steel drums": ("steel drums",),
    "steelpan": ("steel drums",), "timpani": ("timpani",), "drums": (DRUMS,), "drum": (DRUMS,), "drum kit": (DRUMS,),
    "drum set": (DRUMS,), "bass drum": (DRUMS,), "snare drum": (DRUMS,), "percussion": (DRUMS,), "beats": (DRUMS,),
    "electronic drums": ("electronic drums",), "808": ("electronic drums",), "drum machine": ("electronic drums",),
    "brushes": ("brush drums",), "brush drums": ("brush drums",),
}  # fmt: skip
GUITAR_OF = {"rock": "distorted guitar", "jazz": "jazz guitar", "lofi": "jazz guitar", "classical": "nylon guitar",
             "latin": "nylon guitar", "world": "nylon guitar", "funk": "electric guitar", "blues": "electric guitar",
             "reggae": "electric guitar", "pop": "electric guitar", "electronic": "electric guitar"}  # fmt: skip
BASS_OF = {"jazz": "double bass", "folk": "double bass", "classical": "double bass", "orchestral": "double bass",
           "country": "double bass", "latin": "double bass", "world": "double bass", "electronic": "synth bass",
           "ambient": "synth bass"}  # fmt: skip
DRUMS_OF = {
    "electronic": "electronic drums",
    "lofi": "electronic drums",
    "folk": "brush drums",
    "ambient": "brush drums",
}
ENSEMBLES = {"solo": 1, "unaccompanied": 1, "duo": 2, "duet": 2, "trio": 3, "quartet": 4, "quintet": 5}
METER_WORDS = {
    "waltz": "3/4", "waltz time": "3/4", "minuet": "3/4", "three-four": "3/4", "three-quarter time": "3/4", "triple meter": "3/4",
    "jig": "6/8", "six-eight": "6/8", "four-four": "4/4", "common time": "4/4", "march": "2/4", "polka": "2/4", "take five": "5/4",
}  # fmt: skip
# Words that ask for nothing.
_FILLER = """
a an the and or with of for in on at by to from featuring feat including plus some any that is it its this i me
my want need please make create compose generate write give music song songs track tracks piece pieces tune tunes
melody instrumental instrumentals composition background loop theme style styled like feel feeling vibe vibes mood
sound sounding sounds tempo key time meter signature bpm played playing plays play very really quite bit rather
little short long nice good beautiful great lead section backing accompaniment accompanied light kind about around
full simple ballad groove rhythm rhythmic band ensemble
"""
FILLER = frozenset(_FILLER.split())
