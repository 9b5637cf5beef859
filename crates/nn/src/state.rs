//! State dictionaries: the parameters and statistics of a network under PyTorch's names, in memory and in safetensors
//! files.

use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, Parameter, RESERVED, hash};
use crate::layout::ArenaLayout;
use conv1d::files;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Values of a tensor on the host.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Floating-point numbers.
    Floats(Vec<f32>),
    /// Integers: counts.
    Integers(Vec<i64>),
}

/// A tensor of a state dictionary.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Values,
}

impl Entry {
    /// A tensor of floating-point numbers.
    pub fn floats(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Entry { shape: shape.into(), values: Values::Floats(values) }
    }

    /// A tensor of integers.
    pub fn integers(shape: impl Into<Vec<usize>>, values: Vec<i64>) -> Self {
        Entry { shape: shape.into(), values: Values::Integers(values) }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Floats(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }
}

/// Named tensors, and the metadata of a file.
///
/// ```
/// use conv1d_nn::{Entry, Network, StateDict};
/// # let gpu = conv1d::Gpu::new()?;
/// let network = Network::new(&gpu, &conv1d::Conv1d::new(1, 2, 3), 1)?;
///
/// // PyTorch's names and shapes. In a checkpoint of a wrapped model, the names have a prefix.
/// let dict: StateDict = [
///     ("model.weight".to_owned(), Entry::floats([2, 1, 3], vec![0.5; 6])),
///     ("model.bias".to_owned(), Entry::floats([2], vec![0.0; 2])),
/// ]
/// .into_iter()
/// .collect();
/// let dict = dict.strip_prefix("model.")?;
/// network.load_state_dict(&dict)?;
/// assert_eq!(network.state_dict()?, dict);
///
/// // As a safetensors file in memory; `save` and `load` take paths.
/// assert_eq!(StateDict::from_bytes(&dict.to_bytes()?)?, dict);
/// # Ok::<(), conv1d_nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct StateDict {
    /// The tensors.
    pub entries: BTreeMap<String, Entry>,
    /// Metadata of the file.
    pub metadata: HashMap<String, String>,
}

impl FromIterator<(String, Entry)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        StateDict { entries: entries.into_iter().collect(), metadata: HashMap::new() }
    }
}

/// The names that only the network or only the state dictionary has. None of these tensors was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use = "missing parameters keep their old values"]
pub struct Incompatible {
    /// Names that the network has and the dictionary lacks.
    pub missing: Vec<String>,
    /// Names that the dictionary has and the network lacks.
    pub unexpected: Vec<String>,
}

impl Incompatible {
    /// Whether both have the same names.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    /// Returns an error unless both have the same names.
    pub(crate) fn refuse(&self) -> Result<()> {
        let Incompatible { missing, unexpected } = self.clone();
        if self.is_empty() { Ok(()) } else { Err(Error::StateKeys { missing, unexpected }) }
    }
}

/// The name of the checksum in the metadata of checkpoints.
pub(crate) const CHECKSUM: &str = "checksum";

impl StateDict {
    /// Reads a safetensors file, with the element types of [`StateDict::from_bytes`].
    ///
    /// # Errors
    /// [`conv1d::Error::File`] with the cause if the file cannot be read. Files of `torch.save` (`.pt`, `.pth`, `.bin`)
    /// are not supported: convert them in PyTorch with
    /// `safetensors.torch.save_file(model.state_dict(), "x.safetensors")`.
    pub fn load(path: impl AsRef<Path>) -> Result<StateDict> {
        let path = path.as_ref();
        parse(&files::read(path)?).map_err(|message| Error::file(path, message))
    }

    /// Writes a safetensors file. It is written to a temporary file beside an existing one and then replaces it, so
    /// that an interrupted call leaves the old file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.serialize().map_err(|message| Error::file(path, message))?;
        Ok(files::write(path, &bytes)?)
    }

    /// Reads a safetensors file in memory. Element types: floating point of 32 bits, of 64 bits (rounded to 32),
    /// `bfloat16` and `float16`, and integers of 32 and 64 bits.
    pub fn from_bytes(bytes: &[u8]) -> Result<StateDict> {
        parse(bytes).map_err(damaged)
    }

    /// Writes a safetensors file in memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.serialize().map_err(damaged)
    }

    /// Removes a prefix from the names that begin with it: `module.`, `model.` or `_orig_mod.` of a wrapped model.
    /// Other names are unchanged.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no name begins with the prefix, if a name is the prefix alone, or if two names become
    /// equal.
    ///
    /// ```
    /// use conv1d_nn::{Entry, StateDict};
    /// let bias = || Entry::floats([1], vec![1.0]);
    /// let dict: StateDict = [("encoder.bias".to_owned(), bias()), ("decoder.bias".to_owned(), bias())].into_iter().collect();
    /// let mut encoder = dict.clone();
    /// encoder.entries.retain(|name, _| name.starts_with("encoder.")); // a part of the model
    /// let encoder = encoder.strip_prefix("encoder.")?;
    /// assert_eq!(encoder.entries.keys().collect::<Vec<_>>(), ["bias"]);
    /// let error = dict.strip_prefix("model.").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"the state dictionary: no name begins with "model."; there are ["decoder.bias", "encoder.bias"]"#
    /// );
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    pub fn strip_prefix(self, prefix: &str) -> Result<StateDict> {
        let wrong = |name: &str, message| Err(Error::Parameter { name: name.into(), message });
        if !self.entries.keys().any(|name| name.starts_with(prefix)) {
            let names: Vec<&String> = self.entries.keys().collect();
            return Err(damaged(format!("no name begins with {prefix:?}; there are {names:?}")));
        }
        let mut entries = BTreeMap::new();
        for (name, entry) in self.entries {
            let stripped = name.strip_prefix(prefix).unwrap_or(&name);
            if stripped.is_empty() {
                return wrong(&name, format!("nothing is left of this name without the prefix {prefix:?}"));
            }
            if entries.insert(stripped.to_owned(), entry).is_some() {
                return wrong(stripped, format!("two tensors have this name without the prefix {prefix:?}"));
            }
        }
        Ok(StateDict { entries, metadata: self.metadata })
    }

    /// A hash of all tensors, and of the metadata but for the checksum itself.
    pub(crate) fn checksum(&self) -> u64 {
        let tensors = self.entries.iter().flat_map(|(name, entry)| {
            let shape = entry.shape.iter().flat_map(|&d| (d as u64).to_le_bytes());
            name.bytes().chain(shape).chain(little_endian(entry).1)
        });
        let sorted: BTreeMap<_, _> = self.metadata.iter().filter(|(name, _)| *name != CHECKSUM).collect();
        let metadata =
            sorted.into_iter().flat_map(|(name, text)| name.bytes().chain([0]).chain(text.bytes()).chain([0]));
        hash(tensors.chain(metadata))
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
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| unreadable(bytes, &e))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| unreadable(bytes, &e))?;
    let mut entries = BTreeMap::new();
    for (name, view) in file.iter() {
        let values =
            values(&view).ok_or_else(|| format!("{name} has the unsupported element type {:?}", view.dtype()))?;
        if overflows(&view, &values) {
            return Err(format!("{name} has values that do not fit 32-bit floats"));
        }
        entries.insert(name.to_owned(), Entry { shape: view.shape().to_vec(), values });
    }
    Ok(StateDict { entries, metadata: header.metadata().clone().unwrap_or_default() })
}

/// Describes why the bytes are not a safetensors file. The header length at the start can look like the signature of
/// another format, so the brace after it is checked first.
fn unreadable(bytes: &[u8], error: &SafeTensorError) -> String {
    let saved = match bytes {
        [_, _, _, _, _, _, _, _, b'{', ..] => return format!("the safetensors file is damaged: {error}"),
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x80, 2..=5, ..] => "a pickle",
        _ => return format!("this is no safetensors file ({error})"),
    };
    format!(
        "this is {saved}, as torch.save writes it, and no safetensors file; in PyTorch, \
         safetensors.torch.save_file(model.state_dict(), \"x.safetensors\") writes one"
    )
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

/// Whether a finite 64-bit number became infinite in 32 bits.
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

/// Names of the norms and directions in `torch.nn.utils.weight_norm`, the predecessor of the parametrizations.
const OLD_NAMES: [(&str, &str); 2] =
    [("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")];

fn old_name(name: &str) -> Option<String> {
    OLD_NAMES.iter().find_map(|(new, old)| Some(format!("{}{old}", name.strip_suffix(new)?)))
}

impl Graph {
    /// The entries of `state`, which has the given layout. A count is stored there as the bits of a `u32`, not as a
    /// float.
    pub(crate) fn entries(
        &self,
        layout: &ArenaLayout,
        state: &[f32],
        only: impl Fn(&Parameter) -> bool,
    ) -> BTreeMap<String, Entry> {
        let parameters = self.parameters.iter().zip(&layout.offsets).filter(|(p, _)| only(p));
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

    /// The inverse of `entries`: fills `state` from the entries of the parameters that `only` selects. `judge` gets the
    /// names that only one side has, before shapes are compared. On an error nothing is changed.
    pub(crate) fn fill(
        &self,
        layout: &ArenaLayout,
        state: &mut [f32],
        entries: &BTreeMap<String, Entry>,
        only: impl Fn(&Parameter) -> bool,
        judge: impl FnOnce(&Incompatible) -> Result<()>,
    ) -> Result<Incompatible> {
        let mut missing = Vec::new();
        let mut used = std::collections::HashSet::new();
        let mut found = Vec::new();
        for (parameter, &offset) in self.parameters.iter().zip(&layout.offsets).filter(|(p, _)| only(p)) {
            let name = &parameter.name;
            let entry = entries.get_key_value(name).or_else(|| entries.get_key_value(&old_name(name)?));
            match entry {
                Some((key, entry)) => {
                    used.insert(key);
                    found.push((parameter, offset as usize, entry));
                }
                // PyTorch before 2018 did not count batches.
                None if parameter.kind == Kind::Count => {}
                None => missing.push(name.clone()),
            }
        }
        let unexpected = entries.keys().filter(|key| !used.contains(key)).cloned().collect();
        let others = Incompatible { missing, unexpected };
        judge(&others)?;
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
        Ok(others)
    }
}

impl Parameter {
    /// Checks the shape and type of an entry.
    fn check(&self, entry: &Entry) -> Result<()> {
        let wrong = |message: String| Err(Error::Parameter { name: self.name.clone(), message });
        let shape: &[usize] = if self.kind == Kind::Count { &[] } else { &self.shape };
        if entry.shape != shape || entry.len() as u64 != self.len() {
            let (got, values) = (&entry.shape, entry.len());
            return wrong(format!("it has the shape {got:?} and {values} values, the network needs {shape:?}"));
        }
        match (&entry.values, self.kind) {
            (Values::Integers(values), Kind::Count) => match values.iter().find(|&&v| u32::try_from(v).is_err()) {
                Some(count) => wrong(format!("its count {count} is not an unsigned 32-bit integer")),
                None => Ok(()),
            },
            (Values::Floats(_), Kind::Trained | Kind::Statistic) => Ok(()),
            (Values::Integers(_), _) => wrong("it holds integers, the network needs floats".into()),
            (Values::Floats(_), _) => wrong("it holds floats, the network needs integers".into()),
        }
    }
}
