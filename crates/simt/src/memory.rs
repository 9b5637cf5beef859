//! Memory of a dispatch: buffers, textures, and what each invocation did to them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Contents of a buffer.
#[derive(Debug, Clone, PartialEq)]
enum Contents {
    Words(Vec<u32>),
    /// Every word is a float between -1 and 1 that depends on its index. It takes no memory until it is written.
    Pattern,
}

/// A buffer of 32-bit words.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    contents: Contents,
    words: u64,
}

impl Buffer {
    /// A buffer with these words.
    pub fn new(words: Vec<u32>) -> Self {
        Buffer { words: words.len() as u64, contents: Contents::Words(words) }
    }

    /// A buffer with these numbers.
    pub fn floats(numbers: &[f32]) -> Self {
        Buffer::new(numbers.iter().map(|number| number.to_bits()).collect())
    }

    /// A buffer with these bytes. Up to three zeros follow, to a whole word.
    pub fn bytes(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut bytes = [0; 4];
            bytes[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(bytes)
        };
        Buffer::new(bytes.chunks(4).map(word).collect())
    }

    /// A buffer of `words` floats between -1 and 1, each a function of its index. It takes no memory until a program that stores
    /// values writes it, so that tensors of any size can be counted.
    pub fn pattern(words: u64) -> Self {
        Buffer { contents: Contents::Pattern, words }
    }

    /// Number of words.
    pub fn len(&self) -> u64 {
        self.words
    }

    /// Whether it has no words.
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// A word. Words past the end are 0.
    pub fn word(&self, index: u64) -> u32 {
        match &self.contents {
            Contents::Words(words) => usize::try_from(index).ok().and_then(|i| words.get(i)).copied().unwrap_or(0),
            Contents::Pattern if index < self.words => pattern(index),
            Contents::Pattern => 0,
        }
    }

    /// The words as floats.
    pub fn to_floats(&self) -> Vec<f32> {
        (0..self.words).map(|i| f32::from_bits(self.word(i))).collect()
    }

    /// Writes a word. Words past the end are ignored.
    pub(crate) fn set(&mut self, index: u64, word: u32) {
        if matches!(self.contents, Contents::Pattern) {
            self.contents = Contents::Words((0..self.words).map(pattern).collect());
        }
        if let (Contents::Words(words), Ok(index)) = (&mut self.contents, usize::try_from(index))
            && let Some(place) = words.get_mut(index)
        {
            *place = word;
        }
    }
}

/// A float between -1 and 1.
fn pattern(index: u64) -> u32 {
    let mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) as f32 / (1_u32 << 23) as f32 - 1.0).to_bits()
}

/// A two-dimensional texture of four floats a texel.
#[derive(Debug, Clone, PartialEq)]
pub struct Texture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) texels: Buffer,
}

impl Texture {
    /// A texture. `texels` has four words for each texel, row by row; missing words are 0.
    pub fn new(width: u32, height: u32, texels: Buffer) -> Self {
        Texture { width, height, texels }
    }

    /// Width in texels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in texels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The texels, four words each.
    pub fn texels(&self) -> &Buffer {
        &self.texels
    }
}

/// What is bound to a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// Memory of a uniform or storage variable.
    Buffer(Buffer),
    /// A texture.
    Texture(Texture),
}

impl From<Buffer> for Resource {
    fn from(buffer: Buffer) -> Self {
        Resource::Buffer(buffer)
    }
}

impl From<Texture> for Resource {
    fn from(texture: Texture) -> Self {
        Resource::Texture(texture)
    }
}

/// Who touched a word last. 0 is nobody; an invocation is its number plus one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Touched {
    pub(crate) writer: u64,
    pub(crate) write_epoch: u32,
    pub(crate) read_epoch: u32,
    /// The first two invocations of one workgroup that read it in `read_epoch`.
    pub(crate) readers: [u64; 2],
    /// A reader of an earlier workgroup.
    pub(crate) earlier_reader: u64,
}

/// A fast hash of numbers that are not chosen by an adversary.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Numbers(u64);

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

pub(crate) type Map<V> = HashMap<u64, V, BuildHasherDefault<Numbers>>;

/// Words of a page of [`Touches`].
const PAGE: u64 = 256;

/// Who touched each word of a buffer.
#[derive(Debug, Default)]
pub(crate) struct Touches(Map<Box<[Touched]>>);

impl Touches {
    pub(crate) fn word(&mut self, index: u64) -> &mut Touched {
        let page = self.0.entry(index / PAGE).or_insert_with(|| vec![Touched::default(); PAGE as usize].into());
        &mut page[(index % PAGE) as usize]
    }
}

/// A set of sectors of 32 bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sectors {
    blocks: Map<u64>,
    last: (u64, u64),
    /// Sectors of iterations that were not run.
    more: u64,
    len: u64,
}

impl Sectors {
    pub(crate) fn insert(&mut self, sector: u64) {
        let (block, bit) = (sector / 64, 1 << (sector % 64));
        if self.last.0 != block || self.last.1 & bit == 0 {
            let bits = self.blocks.entry(block).or_insert(0);
            self.len += u64::from(*bits & bit == 0);
            *bits |= bit;
            self.last = (block, *bits);
        }
    }

    /// Counts sectors that are not named.
    pub(crate) fn add(&mut self, more: u64) {
        self.more += more;
    }

    pub(crate) fn len(&self) -> u64 {
        self.len + self.more
    }

    /// Adds the sectors of another set, and empties it.
    pub(crate) fn drain(&mut self, from: &mut Sectors) {
        for (block, bits) in from.blocks.drain() {
            let here = self.blocks.entry(block).or_insert(0);
            self.len += u64::from((bits & !*here).count_ones());
            *here |= bits;
        }
        self.more += from.more;
        *from = Sectors::default();
        self.last = (0, 0);
    }
}
