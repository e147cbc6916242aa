//! Fonts: those that ship with the program, and behind them those that are installed.

use std::path::Path;
use std::sync::Arc;

use cosmic_text::FontSystem;
use cosmic_text::fontdb::{Database, ID, Source};

/// The family of the fonts that ship: Latin, Cyrillic and Greek, regular and bold.
pub(super) const FAMILY: &str = "Comic Relief";
const REGULAR: &[u8] = include_bytes!("../../../assets/fonts/ComicRelief-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../../assets/fonts/ComicRelief-Bold.ttf");

/// The fonts that a letterer knows.
#[derive(Clone)]
pub struct Fonts {
    database: Database,
    shipped: Vec<ID>,
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Fonts({} faces)", self.database.len())
    }
}

impl Fonts {
    /// Those that ship with the program, and no others.
    pub fn shipped() -> Fonts {
        let mut database = Database::new();
        let mut shipped = Vec::new();
        for font in [REGULAR, BOLD] {
            shipped.extend(database.load_font_source(Source::Binary(Arc::new(font))));
        }
        Fonts { database, shipped }
    }

    /// Also those of a folder and the folders below it.
    #[must_use]
    pub fn and_folder(mut self, folder: &Path) -> Fonts {
        self.database.load_fonts_dir(folder);
        self
    }

    /// Also those that are installed on this machine. Their files are mapped, not read, until a character needs one.
    #[must_use]
    pub fn and_installed(mut self) -> Fonts {
        self.database.load_system_fonts();
        self
    }

    /// What shapes text with them, and which of them ship. Text goes the way of the first strong character of a
    /// paragraph, whatever the machine's language is.
    pub(super) fn system(&self) -> (FontSystem, Vec<ID>) {
        let system = FontSystem::new_with_locale_and_db("en-US".into(), self.database.clone());
        (system, self.shipped.clone())
    }
}
