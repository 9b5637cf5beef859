//! State dictionaries: the parameters and statistics of a network by the names that PyTorch gives them, in memory and in safetensors
//! files.

use super::graph::{Graph, Kind, Parameter, RESERVED, hash};
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::files;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Values of a tensor on the host.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Numbers.
    Floats(Vec<f32>),
    /// Counts.
    Integers(Vec<i64>),
}

/// A tensor of a state dictionary.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Values,
}

impl Entry {
    /// Of numbers.
    pub fn floats(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Entry { shape: shape.into(), values: Values::Floats(values) }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Floats(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }
}

/// Tensors by their names, and what a file says beside them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateDict {
    /// The tensors.
    pub entries: BTreeMap<String, Entry>,
    /// Notes beside them.
    pub metadata: HashMap<String, String>,
}

impl StateDict {
    /// Reads a safetensors file: what [`StateDict::from_bytes`] reads.
    pub fn load(path: impl AsRef<Path>) -> Result<StateDict> {
        let path = path.as_ref();
        parse(&files::read_whole(path)?).map_err(|message| Error::file(path, message))
    }

    /// Writes a safetensors file, beside the one that it then replaces: whoever stops it leaves the old one.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.serialize().map_err(|message| Error::file(path, message))?;
        files::write_whole(path, &bytes)
    }

    /// Takes a safetensors file that is in memory: tensors of 32 or 64 bits floating point, which are rounded, of `bfloat16` and
    /// `float16`, and of integers of 32 and 64 bits.
    pub fn from_bytes(bytes: &[u8]) -> Result<StateDict> {
        parse(bytes).map_err(damaged)
    }

    /// A safetensors file, in memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.serialize().map_err(damaged)
    }

    /// A hash of all tensors.
    pub(super) fn checksum(&self) -> u64 {
        hash(self.entries.iter().flat_map(|(name, entry)| {
            let shape = entry.shape.iter().flat_map(|&d| (d as u64).to_le_bytes());
            name.bytes().chain(shape).chain(little_endian(entry).1)
        }))
    }

    fn serialize(&self) -> Result<Vec<u8>, String> {
        if self.entries.contains_key(RESERVED) {
            return Err(format!("no tensor can be called {RESERVED}"));
        }
        let bytes: Vec<(Dtype, Vec<u8>)> = self.entries.values().map(little_endian).collect();
        let views = self.entries.iter().zip(&bytes).map(|((name, entry), (dtype, bytes))| {
            let view = TensorView::new(*dtype, entry.shape.clone(), bytes).map_err(|e| format!("{name}: {e}"))?;
            Ok((name, view))
        });
        let views = views.collect::<Result<Vec<_>, String>>()?;
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        safetensors::serialize(views, metadata).map_err(|e| e.to_string())
    }
}

fn parse(bytes: &[u8]) -> Result<StateDict, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut entries = BTreeMap::new();
    for (name, view) in file.iter() {
        let values = values(&view).ok_or_else(|| format!("{name} is of {:?}, which is not read", view.dtype()))?;
        if overflows(&view, &values) {
            return Err(format!("{name} has numbers beyond those of 32 bits"));
        }
        entries.insert(name.to_owned(), Entry { shape: view.shape().to_vec(), values });
    }
    Ok(StateDict { entries, metadata: header.metadata().clone().unwrap_or_default() })
}

fn damaged(message: String) -> Error {
    Error::Parameter { name: "the state dictionary".into(), message }
}

fn little_endian(entry: &Entry) -> (Dtype, Vec<u8>) {
    match &entry.values {
        Values::Floats(values) => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::Integers(values) => (Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

/// Whether a number of 64 bits has become infinite.
fn overflows(view: &TensorView<'_>, values: &Values) -> bool {
    match values {
        Values::Floats(values) if view.dtype() == Dtype::F64 => {
            let wide = view.data().as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
            wide.zip(values).any(|(wide, value)| wide.is_finite() && !value.is_finite())
        }
        _ => false,
    }
}

fn values(view: &TensorView<'_>) -> Option<Values> {
    fn each<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| of(chunk)).collect()
    }
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => Values::Floats(each(bytes, f32::from_le_bytes)),
        Dtype::F64 => Values::Floats(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::BF16 => Values::Floats(each(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::F16 => Values::Floats(each(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::I64 => Values::Integers(each(bytes, i64::from_le_bytes)),
        Dtype::I32 => Values::Integers(each(bytes, |b| i32::from_le_bytes(b).into())),
        _ => return None,
    })
}

/// How `torch.nn.utils.weight_norm`, which came before the parametrizations, calls norms and directions.
const OLD_NAMES: [(&str, &str); 2] =
    [("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")];

fn old_name(name: &str) -> Option<String> {
    OLD_NAMES.iter().find_map(|(new, old)| Some(format!("{}{old}", name.strip_suffix(new)?)))
}

impl Graph {
    /// The dictionary of what lies in memory as the layout says; counts are not numbers there, so their words are handed through
    /// bit by bit.
    pub(super) fn entries(
        &self,
        layout: &Layout,
        state: &[f32],
        only: impl Fn(Kind) -> bool,
    ) -> BTreeMap<String, Entry> {
        let parameters = self.parameters.iter().zip(&layout.offsets).filter(|(p, _)| only(p.kind));
        let entry = |(parameter, &offset): (&Parameter, &u64)| {
            let values = &state[offset as usize..][..parameter.len() as usize];
            let entry = match parameter.kind {
                Kind::Count => {
                    let values = Values::Integers(values.iter().map(|v| v.to_bits().into()).collect());
                    Entry { shape: Vec::new(), values }
                }
                Kind::Trained | Kind::Statistic => Entry::floats(parameter.shape.clone(), values.to_vec()),
            };
            (parameter.name.clone(), entry)
        };
        parameters.map(entry).collect()
    }

    /// The other way round: every parameter of the kinds from its entry, or an error that names what is missing, unexpected or of
    /// another shape. Nothing is changed then.
    pub(super) fn fill(
        &self,
        layout: &Layout,
        state: &mut [f32],
        entries: &BTreeMap<String, Entry>,
        only: impl Fn(Kind) -> bool,
    ) -> Result<()> {
        let mut missing = Vec::new();
        let mut used = std::collections::HashSet::new();
        let mut found = Vec::new();
        for (parameter, &offset) in self.parameters.iter().zip(&layout.offsets).filter(|(p, _)| only(p.kind)) {
            let name = &parameter.name;
            let entry = entries.get_key_value(name).or_else(|| entries.get_key_value(&old_name(name)?));
            match entry {
                Some((key, entry)) => {
                    used.insert(key);
                    found.push((parameter, offset as usize, entry));
                }
                // PyTorch of before 2018 does not count batches.
                None if parameter.kind == Kind::Count => {}
                None => missing.push(name.clone()),
            }
        }
        let unexpected: Vec<String> = entries.keys().filter(|key| !used.contains(key)).cloned().collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(Error::StateKeys { missing, unexpected });
        }
        for (parameter, _, entry) in &found {
            parameter.check(entry)?;
        }
        for (_, offset, entry) in found {
            let place = &mut state[offset..][..entry.len()];
            match &entry.values {
                Values::Floats(values) => place.copy_from_slice(values),
                Values::Integers(values) => {
                    place.iter_mut().zip(values).for_each(|(word, &count)| *word = f32::from_bits(count as u32));
                }
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// Whether an entry can be its values.
    fn check(&self, entry: &Entry) -> Result<()> {
        let wrong = |message: String| Err(Error::Parameter { name: self.name.clone(), message });
        let shape: &[usize] = if self.kind == Kind::Count { &[] } else { &self.shape };
        if entry.shape != shape || entry.len() as u64 != self.len() {
            let (got, values) = (&entry.shape, entry.len());
            return wrong(format!("it has the shape {got:?} and {values} values, the network needs {shape:?}"));
        }
        match (&entry.values, self.kind) {
            (Values::Integers(values), Kind::Count) => match values.iter().find(|&&v| u32::try_from(v).is_err()) {
                Some(count) => wrong(format!("it counts {count}")),
                None => Ok(()),
            },
            (Values::Floats(_), Kind::Trained | Kind::Statistic) => Ok(()),
            (Values::Integers(_), _) => wrong("it holds integers".into()),
            (Values::Floats(_), _) => wrong("it holds no integers".into()),
        }
    }
}
