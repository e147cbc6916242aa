//! Where the parts of the layer lie in the engine's tree, all behind one beginning that no pair of a store has.
//!
//! ```text
//! data block      [fffd]['d'][run u32][number u32]
//! filter          [fffd]['f'][run u32][number u32]
//! index block     [fffd]['i'][run u32][number u32]    where data blocks begin
//! top block       [fffd]['t'][run u32][number u32]    where index blocks begin
//! batch           [fffd]['l'][number u64][piece u32]
//! manifest        [fffd]['m']
//! ```
//!
//! Numbers are big-endian. Everything else in the tree is a pair of a version without this layer.

/// What all places begin with; the pairs of a store begin with a table, `fffe` or `ffff`.
pub(super) const OWN: [u8; 2] = [0xff, 0xfd];
/// Behind all places.
pub(super) const OWN_END: [u8; 2] = [0xff, 0xfe];
pub(super) const MANIFEST: [u8; 3] = [OWN[0], OWN[1], b'm'];

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Data = b'd' as isize,
    Filter = b'f' as isize,
    Index = b'i' as isize,
    Top = b't' as isize,
}

/// All parts of a run, in their order in the tree.
pub(super) const PARTS: [Part; 4] = [Part::Data, Part::Filter, Part::Index, Part::Top];

/// The place of a part of a run.
pub(super) type Place = [u8; 11];

pub(super) fn part(part: Part, run: u32, number: u32) -> Place {
    let (run, number) = (run.to_be_bytes(), number.to_be_bytes());
    [OWN[0], OWN[1], part as u8, run[0], run[1], run[2], run[3], number[0], number[1], number[2], number[3]]
}

/// The run whose part lies here.
pub(super) fn run_of(key: &[u8]) -> Option<u32> {
    let place: &Place = key.try_into().ok()?;
    PARTS.iter().any(|part| place[..3] == [OWN[0], OWN[1], *part as u8]).then_some(())?;
    Some(u32::from_be_bytes([place[3], place[4], place[5], place[6]]))
}

/// The place of a piece of a batch.
pub(super) fn piece(batch: u64, piece: u32) -> [u8; 15] {
    let mut place = [0; 15];
    place[..3].copy_from_slice(&[OWN[0], OWN[1], b'l']);
    place[3..11].copy_from_slice(&batch.to_be_bytes());
    place[11..].copy_from_slice(&piece.to_be_bytes());
    place
}

/// The batch, and which of its pieces, that lies here.
pub(super) fn piece_at(key: &[u8]) -> Option<(u64, u32)> {
    let rest: &[u8; 12] = key.strip_prefix(&[OWN[0], OWN[1], b'l'])?.try_into().ok()?;
    let (batch, piece) = rest.split_at(8);
    Some((u64::from_be_bytes(batch.try_into().ok()?), u32::from_be_bytes(piece.try_into().ok()?)))
}

/// The run whose data block lies here, with the number of its part.
pub(super) fn data_at(key: &[u8]) -> Option<(u32, u32)> {
    let place: &Place = key.try_into().ok()?;
    let rest = place.strip_prefix(&[OWN[0], OWN[1], Part::Data as u8])?;
    let (run, number) = rest.split_at(4);
    Some((u32::from_be_bytes(run.try_into().ok()?), u32::from_be_bytes(number.try_into().ok()?)))
}
