use super::Gpu;
use crate::error::{Error, Result};
use crate::geometry::elements;

/// `f32` values on a device, row-major. Clones share the memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    shape: Vec<usize>,
}

impl Gpu {
    /// Uploads values.
    pub fn tensor(&self, values: &[f32], shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let expected = elements("elements of a tensor", &shape)? as usize;
        if values.len() != expected {
            return Err(Error::DataLength { tensor: "the tensor", got: values.len(), expected });
        }
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let buffer = self.filled_buffer("conv1d tensor", bytemuck::cast_slice(values), usage)?;
        Ok(Tensor { gpu: self.clone(), buffer, shape })
    }

    /// A tensor of zeros.
    pub fn zeros(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let bytes = u64::from(elements("elements of a tensor", &shape)?) * 4;
        // WebGPU creates buffers filled with zeros.
        let buffer = self.storage_buffer("conv1d tensor", bytes)?;
        Ok(Tensor { gpu: self.clone(), buffer, shape })
    }
}

impl Tensor {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        if self.is_empty() { 0 } else { self.shape.iter().product() }
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Its memory, for other programs on the same device: usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// The device that it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The same values in another shape of as many.
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        if elements("elements of a tensor", &shape)? as usize != self.len() {
            let expected = format!("{} values", self.len());
            return Err(Error::Shape { tensor: "the tensor", got: shape, expected });
        }
        Ok(Tensor { gpu: self.gpu.clone(), buffer: self.buffer.clone(), shape })
    }

    /// Replaces all values, once everything queued so far has run.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::DataLength { tensor: "the tensor", got: values.len(), expected: self.len() });
        }
        if self.is_empty() {
            return Ok(());
        }
        self.gpu.guarded(|| self.gpu.queue().write_buffer(&self.buffer, 0, bytemuck::cast_slice(values)))
    }

    /// Takes the values of another tensor of as many on the same device, as they are once everything queued so far has run.
    pub fn copy_from(&self, other: &Tensor) -> Result<()> {
        other.belongs_to(&self.gpu, "the other tensor")?;
        if other.len() != self.len() {
            return Err(Error::DataLength { tensor: "the other tensor", got: other.len(), expected: self.len() });
        }
        // A tensor is its own copy; WebGPU refuses to make it one.
        if self.is_empty() || self.buffer == other.buffer {
            return Ok(());
        }
        self.gpu.guarded(|| {
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&other.buffer, 0, &self.buffer, 0, self.len() as u64 * 4);
            self.gpu.queue().submit([encoder.finish()]);
        })
    }

    /// Waits for the device and copies the values to the host.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self) -> Result<Vec<f32>> {
        pollster::block_on(self.read_async())
    }

    /// Copies the values to the host once everything queued so far has run.
    pub async fn read_async(&self) -> Result<Vec<f32>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let (gpu, bytes) = (&self.gpu, self.len() as u64 * 4);
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        let staging = gpu.guarded(|| {
            let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("conv1d staging"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.buffer, 0, &staging, 0, bytes);
            gpu.queue().submit([encoder.finish()]);
            // The receiver waits for this; a failed send means that nobody does any more.
            staging.map_async(wgpu::MapMode::Read, .., move |mapped| drop(sender.send(mapped)));
            staging
        })?;
        let lost = |message: String| Error::DeviceLost { message };
        // In a browser it is the event loop that completes the mapping, and errors are known only now.
        gpu.settled().await?;
        #[cfg(not(target_arch = "wasm32"))]
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).map_err(|e| lost(e.to_string()))?;
        let mapped = receiver.receive().await.ok_or_else(|| lost("the mapping was dropped".into()))?;
        mapped.map_err(|e| lost(e.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|e| lost(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    pub(crate) fn belongs_to(&self, gpu: &Gpu, tensor: &'static str) -> Result<()> {
        gpu.check_own(&self.gpu, tensor)
    }
}
