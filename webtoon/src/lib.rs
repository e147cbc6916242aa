//! The rules of webtoons, without IO: how a story's text is cut into scenes, how a scene becomes panels on a page, what
//! is wrong with a plan, and what words a picture is drawn from.
//!
//! ```text
//! text/      a story's text: words, scenes, importance, how many scenes it makes
//! planning/  a scene: how many panels, what each is for, the layout of the page, what is said
//! review/    whether a plan is good enough: quality control, blind test, gate
//! drawing/   what a picture is drawn from: style, prompt, references, codes of characters
//! offline/   what stands in for a language model where none is asked
//! ```
//!
//! Numbers and names are those of the contract of webtoons; each rule has a test below `tests/` that names it.

pub mod drawing;
pub mod offline;
pub mod planning;
pub mod review;
pub mod text;
