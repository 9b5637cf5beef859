//! Gradients of the parameters of a network, on the device.

use crate::error::{Error, Result};
use crate::network::Network;
use crate::shaders::{ADD, shader};
use crate::state::StateDict;
#[cfg(not(target_arch = "wasm32"))]
use conv1d::block_on;
use conv1d::{Bindings, Tensor, Workgroups};

/// A number for each element of the learnt parameters of a network, on the device. Clones share the memory.
///
/// A [`Session`](crate::Session) writes the gradients of its loss. An [`Optimizer`](crate::Optimizer) reads gradients from any source. In a
/// session of a network with frozen parameters, the gradients of those parameters are zero.
///
/// ```
/// use conv1d_nn::{Gradients, Network, Sgd};
/// # let gpu = conv1d::Gpu::new()?;
/// let network = Network::new(&gpu, &conv1d::Conv1d::new(1, 1, 2), 1)?;
/// let gradients = Gradients::zeros(&network)?;
/// gradients.tensor("weight")?.write(&[1.0, -1.0])?; // or let a shader write it
///
/// let sum = Gradients::zeros(&network)?;
/// sum.add(&gradients, 0.5)?; // the mean of two batches
/// sum.add(&gradients, 0.5)?;
/// network.parameter("weight")?.write(&[3.0, 3.0])?;
/// network.optimizer(Sgd::new(0.5))?.step(&sum)?;
/// assert_eq!(network.parameter("weight")?.read()?, [2.5, 3.5]);
/// # Ok::<(), conv1d_nn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gradients {
    network: Network,
    /// Laid out as the parameters are.
    values: Tensor,
}

impl Gradients {
    /// Zeros, in memory of their own.
    pub fn zeros(network: &Network) -> Result<Gradients> {
        let values = network.gpu().zeros([network.layout().trained as usize])?;
        Ok(Gradients { network: network.clone(), values })
    }

    /// The gradient of a parameter, of the parameter's shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the network trains no parameter of that name.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        self.network.named(&self.values, name, super::graph::Parameter::is_trained)
    }

    /// Sets all of them to zero.
    pub fn zero(&self) -> Result<()> {
        let zeros = self.network.gpu().zeros(self.values.shape())?;
        Ok(self.values.copy_from(&zeros)?)
    }

    /// Adds `factor` times other gradients of the same network, queued: gradients accumulated over several batches.
    ///
    /// # Errors
    /// [`Error::WrongNetwork`] where they are of another network; [`Error::Argument`] where they are the same gradients.
    pub fn add(&self, other: &Gradients, factor: f32) -> Result<()> {
        if !self.network.shares(&other.network) {
            return Err(Error::WrongNetwork { what: "gradients" });
        }
        let elements = self.values.len();
        if self.values.buffer() == other.values.buffer() {
            return Err(Error::argument("gradients", factor, "added to others, not to themselves"));
        }
        if elements == 0 {
            return Ok(());
        }
        let bindings = Bindings::new()
            .with("input", other.values.slice())
            .with("output", self.values.slice())
            .value("count", elements as u32)
            .value("factor", factor);
        let gpu = self.network.gpu();
        Ok(gpu.run(&gpu.prepare_shader(&shader(&ADD))?.bind(&bindings, Workgroups::Elements(elements as u64))?)?)
    }

    /// Reads the gradients of all trained parameters back, by PyTorch's names.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self) -> Result<StateDict> {
        block_on(self.read_async())
    }

    /// As `read`, without blocking.
    pub async fn read_async(&self) -> Result<StateDict> {
        let values = self.values.read_async().await?;
        let entries = self.network.graph().entries(self.network.layout(), &values, super::graph::Parameter::is_trained);
        Ok(StateDict { entries, ..StateDict::default() })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn values(&self) -> &Tensor {
        &self.values
    }
}
