//! What the schema of ComicInfo 2.0 says of a document: which elements there are, in which order, of which type, and which
//! attributes a page has.

/// Types of elements and attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Whole,
    /// Unknown, No, Yes.
    YesNo,
    Truth,
    PageType,
}

use Kind::{PageType, Text, Truth, Whole, YesNo};

/// The elements of `ComicInfo` in the order that the schema asks for; each stands once at most.
const ELEMENTS: [(&str, Kind); 36] = [
    ("Title", Text),
    ("Series", Text),
    ("Number", Text),
    ("Count", Whole),
    ("Volume", Whole),
    ("AlternateSeries", Text),
    ("AlternateNumber", Text),
    ("AlternateCount", Whole),
    ("Summary", Text),
    ("Notes", Text),
    ("Year", Whole),
    ("Month", Whole),
    ("Day", Whole),
    ("Writer", Text),
    ("Penciller", Text),
    ("Inker", Text),
    ("Colorist", Text),
    ("Letterer", Text),
    ("CoverArtist", Text),
    ("Editor", Text),
    ("Publisher", Text),
    ("Imprint", Text),
    ("Genre", Text),
    ("Web", Text),
    ("PageCount", Whole),
    ("LanguageISO", Text),
    ("Format", Text),
    ("BlackAndWhite", YesNo),
    ("Manga", YesNo),
    ("Characters", Text),
    ("Teams", Text),
    ("Locations", Text),
    ("ScanInformation", Text),
    ("StoryArc", Text),
    ("SeriesGroup", Text),
    ("AgeRating", Text),
];

/// The attributes of a `Page`; `Image` has to be there.
const ATTRIBUTES: [(&str, Kind); 8] = [
    ("Image", Whole),
    ("Type", PageType),
    ("DoublePage", Truth),
    ("ImageSize", Whole),
    ("Key", Text),
    ("Bookmark", Text),
    ("ImageWidth", Whole),
    ("ImageHeight", Whole),
];

const PAGE_TYPES: [&str; 11] = [
    "FrontCover",
    "InnerCover",
    "Roundup",
    "Story",
    "Advertisement",
    "Editorial",
    "Letters",
    "Preview",
    "BackCover",
    "Other",
    "Deleted",
];

impl Kind {
    fn takes(self, value: &str) -> bool {
        match self {
            Text => true,
            Whole => value.parse::<i64>().is_ok(),
            YesNo => ["Unknown", "No", "Yes"].contains(&value),
            Truth => ["true", "false"].contains(&value),
            // A list of words.
            PageType => !value.is_empty() && value.split(' ').all(|word| PAGE_TYPES.contains(&word)),
        }
    }
}

/// The value of a known name, checked.
fn checked(known: &[(&str, Kind)], name: &str, value: &str) -> usize {
    let place = known.iter().position(|(known, _)| *known == name);
    let place = place.unwrap_or_else(|| panic!("the schema has no {name}"));
    assert!(known[place].1.takes(value), "{name} is no {:?}: {value:?}", known[place].1);
    place
}

/// Panics where a document breaks the schema.
pub fn check(document: &str) {
    let body = document.strip_prefix("<?xml version=\"1.0\" encoding=\"utf-8\"?>").expect("a declaration");
    let (root, rest) = body.trim().split_once('>').expect("a root");
    assert!(root.starts_with("<ComicInfo"), "{root}");
    let inside = rest.strip_suffix("</ComicInfo>").expect("the end of the root");
    let (elements, pages) = match inside.split_once("<Pages>") {
        Some((elements, pages)) => {
            (elements, pages.trim().strip_suffix("</Pages>").expect("the end of the pages"))
        }
        None => (inside, ""),
    };
    let mut last = None;
    let mut rest = elements.trim();
    while let Some(open) = rest.strip_prefix('<') {
        let (name, after) = open.split_once('>').expect("an element");
        let (value, after) = after.split_once(&format!("</{name}>")).expect("its end");
        assert!(!value.contains('<'), "{name} holds only text: {value}");
        let place = checked(&ELEMENTS, name, value);
        assert!(last.is_none_or(|last| last < place), "{name} comes too late, or twice");
        last = Some(place);
        rest = after.trim();
    }
    assert_eq!(rest, "", "text between the elements");
    let mut images = Vec::new();
    for page in pages.split("/>").map(str::trim).filter(|page| !page.is_empty()) {
        let mut attributes = page.strip_prefix("<Page").expect("a page").trim();
        let mut image = None;
        while !attributes.is_empty() {
            let (name, after) = attributes.split_once("=\"").expect("an attribute");
            let (value, after) = after.split_once('"').expect("its end");
            checked(&ATTRIBUTES, name, value);
            if name == "Image" {
                image = value.parse::<i64>().ok();
            }
            attributes = after.trim();
        }
        images.push(image.expect("Image has to be there"));
    }
    assert_eq!(images, (0..images.len() as i64).collect::<Vec<i64>>(), "pages by their place in the archive");
}
