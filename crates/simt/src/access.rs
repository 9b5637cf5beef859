//! What an access of a subgroup costs: sectors, lines and cycles of banks, for the addresses of its active lanes.

/// Words of a sector of 32 bytes, of a line of 128 bytes, and banks of workgroup memory.
const SECTOR: u32 = 8;
const LINE: u32 = 32;
const BANKS: u32 = 32;

/// Sectors and lines of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    pub(crate) sectors: u32,
    pub(crate) lines: u32,
}

/// Cycles of the banks of a request, with and without conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cycles {
    pub(crate) cycles: u32,
    pub(crate) ideal: u32,
}

/// The costs of requests with one pattern of addresses: relative to the first, they are those of the last request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern {
    /// Addresses of the active lanes, less the first.
    relative: Vec<u32>,
    /// By the first address modulo a line.
    moved: Vec<Option<Moved>>,
    cycles: Option<Cycles>,
}

impl Pattern {
    /// Takes the addresses of a request. Forgets the costs if their pattern is new.
    fn take(&mut self, addresses: &[u32]) {
        let first = addresses[0];
        let same = self.relative.len() == addresses.len()
            && self.relative.iter().zip(addresses).all(|(&relative, &address)| address.wrapping_sub(first) == relative);
        if !same {
            self.relative.clear();
            self.relative.extend(addresses.iter().map(|address| address.wrapping_sub(first)));
            self.moved.clear();
            self.moved.resize(LINE as usize, None);
            self.cycles = None;
        }
    }

    /// Sectors and lines of a request for `words` words at each of these word addresses.
    pub(crate) fn moved(&mut self, addresses: &[u32], words: u32) -> Moved {
        self.take(addresses);
        let at = (addresses[0] % LINE) as usize;
        *self.moved[at].get_or_insert_with(|| Moved {
            sectors: different(addresses, words, SECTOR),
            lines: different(addresses, words, LINE),
        })
    }

    /// Cycles of the banks for `words` words at each of these word addresses.
    pub(crate) fn cycles(&mut self, addresses: &[u32], words: u32) -> Cycles {
        self.take(addresses);
        let first = addresses[0];
        *self.cycles.get_or_insert_with(|| {
            // A conflict does not change if all addresses move by the same distance.
            let relative: Vec<u32> = addresses.iter().map(|address| address.wrapping_sub(first)).collect();
            bank_cycles(&relative, words)
        })
    }
}

/// Number of different blocks of `size` words.
fn different(addresses: &[u32], words: u32, size: u32) -> u32 {
    let ends = |&address: &u32| address / size..=(address + words - 1) / size;
    let mut blocks: Vec<u32> = addresses.iter().flat_map(ends).collect();
    blocks.sort_unstable();
    blocks.dedup();
    blocks.len() as u32
}

/// Cycles in which 32 banks of one word serve the lanes: 32 lanes at once for one word each, 16 for two words, 8 for four, as NVIDIA
/// documents it for its devices. Lanes that read one word in common share it.
fn bank_cycles(addresses: &[u32], words: u32) -> Cycles {
    let lanes = (BANKS / words.next_power_of_two()).max(1) as usize;
    let mut total = Cycles::default();
    for group in addresses.chunks(lanes) {
        let mut accessed: Vec<u32> =
            group.iter().flat_map(|&address| (0..words).map(move |i| address.wrapping_add(i))).collect();
        accessed.sort_unstable();
        accessed.dedup();
        let mut banks = [0_u32; BANKS as usize];
        accessed.iter().for_each(|word| banks[(word % BANKS) as usize] += 1);
        total.cycles += banks.iter().copied().max().unwrap_or(0).max(1);
        total.ideal += 1;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stride(by: u32) -> Vec<u32> {
        (0..32).map(|lane| lane * by).collect()
    }

    #[test]
    fn sectors_and_lines() {
        let moved = |addresses: &[u32], words| Pattern::default().moved(addresses, words);
        assert_eq!(moved(&stride(1), 1), Moved { sectors: 4, lines: 1 });
        assert_eq!(moved(&stride(2), 1), Moved { sectors: 8, lines: 2 });
        assert_eq!(moved(&stride(100), 1), Moved { sectors: 32, lines: 32 });
        assert_eq!(moved(&[7; 32], 1), Moved { sectors: 1, lines: 1 });
        assert_eq!(moved(&stride(4), 4), Moved { sectors: 16, lines: 4 });
        // One word past a sector and a line.
        let shifted: Vec<u32> = stride(1).iter().map(|address| address + 1).collect();
        assert_eq!(moved(&shifted, 1), Moved { sectors: 5, lines: 2 });
    }

    #[test]
    fn conflicts_of_banks() {
        let cycles = |addresses: &[u32], words| Pattern::default().cycles(addresses, words);
        assert_eq!(cycles(&stride(1), 1), Cycles { cycles: 1, ideal: 1 });
        assert_eq!(cycles(&stride(2), 1), Cycles { cycles: 2, ideal: 1 });
        assert_eq!(cycles(&stride(16), 1), Cycles { cycles: 16, ideal: 1 });
        assert_eq!(cycles(&stride(32), 1), Cycles { cycles: 32, ideal: 1 });
        assert_eq!(cycles(&stride(33), 1), Cycles { cycles: 1, ideal: 1 });
        assert_eq!(cycles(&[5; 32], 1), Cycles { cycles: 1, ideal: 1 });
        // Vectors of four, side by side: eight lanes at a time.
        assert_eq!(cycles(&stride(4), 4), Cycles { cycles: 4, ideal: 4 });
        assert_eq!(cycles(&stride(8), 4), Cycles { cycles: 8, ideal: 4 });
    }

    /// The costs that are kept for a pattern are those of the addresses.
    #[test]
    fn kept_costs_are_right() {
        let mut pattern = Pattern::default();
        for first in [0, 5, 32, 37, 5, 1000] {
            for by in [1, 3] {
                let addresses: Vec<u32> = stride(by).iter().map(|address| address + first).collect();
                let moved = Moved { sectors: different(&addresses, 1, SECTOR), lines: different(&addresses, 1, LINE) };
                assert_eq!(pattern.moved(&addresses, 1), moved);
                assert_eq!(pattern.cycles(&addresses, 1), bank_cycles(&addresses, 1));
            }
        }
    }
}
