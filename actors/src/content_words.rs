//! The words that the content rules look for, lower case and without accents.

/// Words and phrases that point to a minor.
#[rustfmt::skip]
pub(crate) static MINOR: &[&str] = &[
    "child", "children", "childlike", "kid", "kids", "kiddo", "teen", "teens", "teenage", "teenaged",
    "teenager", "teenagers", "preteen", "preteens", "tween", "tweens", "underage", "underaged", "under age",
    "toddler", "toddlers", "infant", "infants", "newborn", "schoolgirl", "schoolgirls", "schoolboy",
    "schoolboys", "schoolchild", "schoolkid", "school girl", "school boy", "adolescent", "adolescents",
    "juvenile", "prepubescent", "pubescent", "loli", "lolis", "lolita", "lolicon", "shota", "shotas",
    "shotacon", "minors", "little girl", "little girls", "little boy", "little boys", "young girl",
    "young girls", "young boy", "young boys", "young teen", "middle school", "middle schooler",
    "junior high", "high school", "high schooler", "high schoolers", "elementary school", "primary school",
    "grade school", "kindergarten", "kindergartner", "preschool", "preschooler", "seventh grader",
    "eighth grader", "grader", "under 18", "under eighteen", "below 18", "not yet 18", "not 18 yet",
    "barely legal", "jailbait", "menor de edad", "adolescente", "minderjahrig",
    "minderjahrige", "fillette", "mineure", "bambina", "bambino",
    "minorenne",
];

/// The same in scripts without spaces between words.
#[rustfmt::skip]
pub(crate) static MINOR_ANYWHERE: &[&str] = &[
    "niña", "niño", "mädchen", "未成年", "小学生", "中学生", "高校生", "子供", "幼女", "少女", "少年", "ロリ", "ショタ", "儿童", "兒童", "미성년", "초등학생", "중학생",
    "고등학생", "ребен", "ребён", "несовершеннолет", "малолет", "школьниц", "школьник", "подросток", "девочк",
];

/// What may follow "a minor" when no person is meant.
#[rustfmt::skip]
pub(crate) static MINOR_THINGS: &[&str] = &[
    "detail", "injury", "issue", "inconvenience", "problem", "key", "chord", "role", "change", "cut",
    "setback", "point", "scale", "league", "matter", "annoyance", "difference", "error", "mistake",
    "character",
];

/// Words and phrases that are explicit wherever they stand.
#[rustfmt::skip]
pub(crate) static EXPLICIT: &[&str] = &[
    "blowjob", "blowjobs", "handjob", "handjobs", "masturbate", "masturbates", "masturbated",
    "masturbating", "masturbation", "orgasm", "orgasms", "orgasmic", "erotic", "erotica", "porn", "porno",
    "pornographic", "pornography", "hentai", "nsfw", "xxx", "sex", "sexual", "sexually", "intercourse",
    "genitals", "genitalia", "penis", "vagina", "vaginal", "clitoris", "clit", "fellatio", "cunnilingus",
    "ejaculate", "ejaculates", "ejaculation", "cumshot", "cumming", "creampie", "gangbang", "threesome",
    "nude", "nudes", "nudity", "naked", "topless", "fuck me", "fucking her", "fucking him", "fucks her",
    "fucks him", "fuck her", "fuck him", "her pussy", "my pussy", "your pussy", "his cock", "my cock",
    "your cock", "her tits", "bare breasts", "nipples", "dildo", "fetish", "bdsm", "strip naked",
    "undress me",
];

/// Phrases in which an explicit word means something else.
#[rustfmt::skip]
pub(crate) static INNOCENT: &[&str] = &[
    "naked eye", "sex education", "same sex", "the opposite sex", "biological sex", "sex at birth",
    "sexual assault", "sexual harassment", "sexual orientation", "sexual abuse", "naked truth",
    "naked mole", "not nsfw", "no nsfw", "no nudity", "no sexual", "sex chromosome", "sex chromosomes",
];
