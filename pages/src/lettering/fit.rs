//! Text to lines: the largest size at which it fits, then lines of nearly the same length.

use cosmic_text::{Align, Attrs, Buffer, Family, FontSystem, Metrics, Shaping, Weight, Wrap};

use super::fonts::FAMILY;

/// Distance of two baselines, as a part of the font's size.
const LINE: f32 = 1.18;
/// Steps of the search for the narrowest width that needs no further line.
const BALANCE_STEPS: usize = 9;

/// Text set in lines.
pub(super) struct SetText {
    /// The lines, laid out in the middle of `width`.
    pub buffer: Buffer,
    /// Size of the font.
    pub font_px: f32,
    /// Width in which the lines are centred.
    pub width: f32,
    /// Height of all lines.
    pub height: f32,
    /// Width of the longest line.
    #[cfg(test)]
    pub longest: f32,
    /// How many lines there are.
    pub lines: usize,
}

/// Shapes a text once; sizes and widths are then tried on it.
pub(super) struct Setter<'a> {
    system: &'a mut FontSystem,
    buffer: Buffer,
}

impl<'a> Setter<'a> {
    /// A setter of a text.
    pub fn new(system: &'a mut FontSystem, text: &str, bold: bool) -> Setter<'a> {
        let mut buffer = Buffer::new_empty(Metrics::new(16.0, 16.0 * LINE));
        let weight = if bold { Weight::BOLD } else { Weight::NORMAL };
        let attrs = Attrs::new().family(Family::Name(FAMILY)).weight(weight);
        buffer.set_text(&cleaned(text), &attrs, Shaping::Advanced, Some(Align::Center));
        Setter { system, buffer }
    }

    /// The text at the largest whole size from `most` down to `least` at which it fits an area without a broken word,
    /// in balanced lines; `None` where it does not fit even at the least.
    pub fn fit(&mut self, (width, height): (f32, f32), (least, most): (f32, f32)) -> Option<SetText> {
        let fits = |setter: &mut Self, size: f32| {
            let (longest, tall, _) = setter.lay(size, width, Wrap::Word);
            longest <= width && tall <= height
        };
        let (mut fitting, mut over) = (least.floor() as i32, most.ceil().max(least + 1.0) as i32);
        if !fits(self, fitting as f32) {
            return None;
        }
        if fits(self, over as f32) {
            fitting = over;
        }
        while over - fitting > 1 {
            let middle = (fitting + over) / 2;
            match fits(self, middle as f32) {
                true => fitting = middle,
                false => over = middle,
            }
        }
        Some(self.balanced(fitting as f32, width, Wrap::Word))
    }

    /// The text at one size within a width, however high; a word that is wider than a line is broken.
    pub fn at(&mut self, size: f32, width: f32) -> SetText {
        let (longest, _, _) = self.lay(size, width, Wrap::Word);
        let wrap = if longest > width { Wrap::WordOrGlyph } else { Wrap::Word };
        self.balanced(size, width, wrap)
    }

    fn balanced(&mut self, size: f32, width: f32, wrap: Wrap) -> SetText {
        let (longest, _, lines) = self.lay(size, width, wrap);
        let (mut wide, mut narrow) = (longest.min(width), longest / lines.max(1) as f32);
        if lines > 1 {
            for _ in 0..BALANCE_STEPS {
                let middle = (wide + narrow) / 2.0;
                let (longest, _, tried) = self.lay(size, middle, wrap);
                match tried <= lines && longest <= middle {
                    true => wide = middle,
                    false => narrow = middle,
                }
            }
        }
        // A little more, so that rounding breaks no line that was just as long.
        let width = wide + 0.5;
        let (_longest, height, lines) = self.lay(size, width, wrap);
        SetText {
            buffer: self.buffer.clone(),
            font_px: size,
            width,
            height,
            #[cfg(test)]
            longest: _longest,
            lines,
        }
    }

    /// Width of the longest line, height of all, and how many there are.
    fn lay(&mut self, size: f32, width: f32, wrap: Wrap) -> (f32, f32, usize) {
        self.buffer.set_wrap(wrap);
        self.buffer.set_metrics_and_size(Metrics::new(size, size * LINE), Some(width), None);
        self.buffer.shape_until_scroll(self.system, false);
        let (mut longest, mut lines) = (0.0_f32, 0);
        for run in self.buffer.layout_runs() {
            longest = longest.max(run.line_w);
            lines += 1;
        }
        (longest, lines as f32 * size * LINE, lines)
    }
}

/// A text without characters that move the pen: tabs and other controls become blanks, line breaks stay.
fn cleaned(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    text.trim().chars().map(|one| if one.is_control() && one != '\n' { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fonts::Fonts;
    use super::*;

    fn lines_of(set: &SetText) -> Vec<(String, f32)> {
        set.buffer
            .layout_runs()
            .map(|run| {
                let (mut start, mut end) = (run.text.len(), 0);
                run.glyphs
                    .iter()
                    .for_each(|glyph| (start, end) = (start.min(glyph.start), end.max(glyph.end)));
                (run.text.get(start..end).unwrap_or_default().trim().to_string(), run.line_w)
            })
            .collect()
    }

    #[test]
    fn text_is_as_large_as_fits_and_no_word_is_broken() {
        let (mut system, _) = Fonts::shipped().system();
        let text = "Nobody has crossed this bridge since the lighthouse went dark.";
        let mut setter = Setter::new(&mut system, text, false);
        let large = setter.fit((400.0, 300.0), (12.0, 60.0)).expect("it fits");
        assert!(large.longest <= 400.0 && large.height <= 300.0, "{} × {}", large.longest, large.height);
        let words: Vec<String> = lines_of(&large).into_iter().map(|line| line.0).collect();
        assert_eq!(words.join(" "), text);
        let larger = setter.at(large.font_px + 1.0, 400.0);
        assert!(
            larger.height > 300.0 || larger.longest > 400.0,
            "one step larger fits too: {}",
            large.font_px
        );
        let small = setter.fit((200.0, 150.0), (8.0, 60.0)).expect("it fits");
        assert!(small.font_px < large.font_px);
        assert!(setter.fit((60.0, 40.0), (12.0, 60.0)).is_none(), "too small an area");
        assert!(setter.fit((2000.0, 900.0), (12.0, 40.0)).is_some_and(|set| set.font_px == 40.0), "the most");
    }

    #[test]
    fn lines_are_balanced() {
        let (mut system, _) = Fonts::shipped().system();
        let text = "I told you that the ferry does not wait for anyone at all.";
        let mut setter = Setter::new(&mut system, text, false);
        let set = setter.at(24.0, 420.0);
        let lines = lines_of(&set);
        assert!(lines.len() >= 2, "{lines:?}");
        let (_, _, unbalanced) = setter.lay(24.0, 420.0, Wrap::Word);
        assert_eq!(lines.len(), unbalanced, "balance adds no line");
        let (shortest, longest) =
            lines.iter().fold((f32::MAX, 0.0_f32), |(low, high), line| (low.min(line.1), high.max(line.1)));
        assert!(shortest > longest * 0.6, "{lines:?}");
    }

    #[test]
    fn a_word_wider_than_a_line_is_broken_and_line_breaks_are_kept() {
        let (mut system, _) = Fonts::shipped().system();
        let set = Setter::new(&mut system, &"A".repeat(200), true).at(20.0, 300.0);
        assert!(set.lines > 5 && set.longest <= 301.0, "{} lines, {}", set.lines, set.longest);
        let set = Setter::new(&mut system, "one\r\ntwo\tthree\n", false).at(20.0, 300.0);
        let lines: Vec<String> = lines_of(&set).into_iter().map(|line| line.0).collect();
        assert_eq!(lines, ["one", "two three"]);
    }
}
