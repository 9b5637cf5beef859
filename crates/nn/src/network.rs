//! A network with its parameters on a device.

use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, Module, Parameter};
use crate::layout::ArenaLayout;
use crate::state::{Incompatible, StateDict};
#[cfg(not(target_arch = "wasm32"))]
use conv1d::block_on;
use conv1d::{Gpu, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

/// A network with its parameters on a device. Clones share the parameters.
#[derive(Debug, Clone)]
pub struct Network {
    gpu: Gpu,
    graph: Graph,
    layout: ArenaLayout,
    state: Tensor,
}

impl Network {
    /// Creates a network with PyTorch's initialisation, whose random numbers the seed determines. The arguments and
    /// shapes of layers are checked when the network is bound to an input.
    pub fn new(gpu: &Gpu, network: &(impl Module + ?Sized), seed: u64) -> Result<Network> {
        let graph = Graph::of(network);
        let layout = ArenaLayout::of(&graph);
        graph.check_parameters()?;
        layout.check(gpu.caps())?;
        let initial = graph.initial(&layout, seed);
        let state = gpu.tensor(&initial, [initial.len()])?;
        Ok(Network { gpu: gpu.clone(), graph, layout, state })
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The network as a graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Names of the learnt parameters, including [frozen](Network::frozen) ones, in the order of their declaration.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.graph.parameters.iter().filter(|p| p.kind == Kind::Trained).map(|p| &*p.name)
    }

    /// A parameter or running statistic on the device. It may be read and written.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the network has no tensor of that name.
    ///
    /// ```
    /// use conv1d_nn::Network;
    /// # let gpu = conv1d::Gpu::new()?;
    /// let network = Network::new(&gpu, &conv1d::Conv1d::new(1, 2, 3), 1)?;
    /// let bias = network.parameter("bias")?;
    /// assert_eq!(bias.shape(), [2]);
    /// bias.write(&[0.0, 1.0])?;
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    pub fn parameter(&self, name: &str) -> Result<Tensor> {
        self.named(&self.state, name, |parameter| parameter.kind != Kind::Count)
    }

    /// The same network, with the same parameters in the same memory, but with the named parameters frozen
    /// (`requires_grad_(False)`): sessions compute no gradients for them, and optimisers do not change them. Batch
    /// normalisation in training mode still updates its running statistics.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a name is not that of a learnt parameter.
    ///
    /// ```
    /// use conv1d_nn::{Network, Tcn};
    /// # let gpu = conv1d::Gpu::new()?;
    /// let tcn = Network::new(&gpu, &Tcn::new(2, 8, 1).layers(2), 1)?;
    /// let head_only = tcn.frozen(tcn.parameter_names().filter(|name| !name.starts_with("output_layer.")))?;
    /// let trained: Vec<&str> = head_only.trained_names().collect();
    /// assert_eq!(trained, ["output_layer.weight", "output_layer.bias"]);
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    pub fn frozen<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<Network> {
        let mut network = self.clone();
        for name in names {
            let index = self.trained_index(name.as_ref())?;
            network.graph.parameters[index].frozen = true;
        }
        Ok(network)
    }

    /// Names of the learnt parameters that are not [frozen](Network::frozen).
    pub fn trained_names(&self) -> impl Iterator<Item = &str> {
        self.graph.parameters.iter().filter(|p| p.is_trained()).map(|p| &*p.name)
    }

    /// The index of a learnt parameter.
    pub(crate) fn trained_index(&self, name: &str) -> Result<usize> {
        let of_that_name = |p: &Parameter| p.name == name && p.kind == Kind::Trained;
        self.graph.parameters.iter().position(of_that_name).ok_or_else(|| {
            let names: Vec<&str> = self.parameter_names().collect();
            Error::parameter(name, format!("the network learns no such parameter; there are {names:?}"))
        })
    }

    /// The tensor of a parameter in `arena`, which has the layout of the parameters.
    pub(crate) fn named(&self, arena: &Tensor, name: &str, only: impl Fn(&Parameter) -> bool) -> Result<Tensor> {
        let parameters = self.graph.parameters.iter().zip(&self.layout.offsets).filter(|(p, _)| only(p));
        let found = parameters.clone().find(|(parameter, _)| parameter.name == name);
        let (parameter, &offset) = found.ok_or_else(|| {
            let names: Vec<&str> = parameters.map(|(p, _)| &*p.name).collect();
            Error::parameter(name, format!("there is no tensor of this name; there are {names:?}"))
        })?;
        Ok(arena.part(offset as usize, &parameter.shape)?)
    }

    /// Whether both have their parameters in the same memory.
    pub(crate) fn shares(&self, other: &Network) -> bool {
        self.gpu == other.gpu && self.state.buffer() == other.state.buffer()
    }

    /// Reads parameters and statistics back, under PyTorch's names.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn state_dict(&self) -> Result<StateDict> {
        block_on(self.state_dict_async())
    }

    /// As `state_dict`, without blocking.
    pub async fn state_dict_async(&self) -> Result<StateDict> {
        let state = self.state.read_async().await?;
        Ok(StateDict { entries: self.graph.entries(&self.layout, &state, |_| true), ..StateDict::default() })
    }

    /// Loads all parameters and statistics from a dictionary. It must have all names of this network and no others.
    ///
    /// # Errors
    /// [`Error::StateKeys`] lists missing and unexpected names; [`Error::Parameter`] names a tensor of another shape or
    /// type. On an error nothing is changed.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_state_dict(&self, dict: &StateDict) -> Result<()> {
        block_on(self.load_state_dict_async(dict))
    }

    /// As `load_state_dict`, without blocking.
    pub async fn load_state_dict_async(&self, dict: &StateDict) -> Result<()> {
        self.fill(dict, Incompatible::refuse).await.map(drop)
    }

    /// Loads the parameters and statistics that both the network and the dictionary have, as PyTorch's
    /// `load_state_dict(strict=False)`. Returns the names of all others.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a tensor of another shape or type. On an error nothing is changed.
    ///
    /// ```
    /// use conv1d_nn::{Network, Tcn};
    /// # let gpu = conv1d::Gpu::new()?;
    /// let published = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(2), 1)?.state_dict()?;
    /// let deeper = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 2)?;
    /// let others = deeper.load_state_dict_partial(&published)?;
    /// assert!(others.missing.iter().all(|name| name.starts_with("network.2.")));
    /// assert!(others.unexpected.is_empty());
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_state_dict_partial(&self, dict: &StateDict) -> Result<Incompatible> {
        block_on(self.load_state_dict_partial_async(dict))
    }

    /// As `load_state_dict_partial`, without blocking.
    pub async fn load_state_dict_partial_async(&self, dict: &StateDict) -> Result<Incompatible> {
        self.fill(dict, |_| Ok(())).await
    }

    async fn fill(&self, dict: &StateDict, judge: impl FnOnce(&Incompatible) -> Result<()>) -> Result<Incompatible> {
        let mut state = self.state.read_async().await?;
        let others = self.graph.fill(&self.layout, &mut state, &dict.entries, |_| true, judge)?;
        self.state.write(&state)?;
        Ok(others)
    }

    /// Writes the state dictionary to a safetensors file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.state_dict()?.save(path)
    }

    /// Reads the state dictionary from a safetensors file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        self.load_state_dict(&StateDict::load(path)?)
    }

    /// Loads the tensors that both the network and a safetensors file have, as [`Network::load_state_dict_partial`]
    /// does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_partial(&self, path: impl AsRef<Path>) -> Result<Incompatible> {
        self.load_state_dict_partial(&StateDict::load(path)?)
    }

    pub(crate) fn state(&self) -> &Tensor {
        &self.state
    }

    pub(crate) fn layout(&self) -> &ArenaLayout {
        &self.layout
    }
}
