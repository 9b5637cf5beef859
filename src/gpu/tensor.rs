#[cfg(not(target_arch = "wasm32"))]
use super::block_on;
use super::{Gpu, Signal};
use crate::error::{Error, Result};
use crate::geometry::elements;

/// `f32` values on a device, row-major. Clones and [parts](Tensor::part) share the memory.
///
/// ```
/// let gpu = conv1d::Gpu::new()?;
/// let x = gpu.tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2])?; // or gpu.zeros([2, 2])
/// assert_eq!((x.shape(), x.len()), (&[2, 2][..], 4));
/// x.part(2, [2])?.write(&[5.0, 6.0])?;
/// let row = x.reshape([1, 4])?;
/// assert_eq!(row.read()?, [1.0, 2.0, 5.0, 6.0]); // waits; read_async never blocks
/// assert!(x.part(3, [2]).is_err());
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tensor {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    /// Bytes of the buffer before its values.
    offset: u64,
    shape: Vec<usize>,
}

impl Gpu {
    /// Uploads values, in row-major order.
    ///
    /// # Errors
    /// [`Error::DataLength`] if the shape does not have as many values.
    pub fn tensor(&self, values: &[f32], shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let expected = elements("elements of a tensor", &shape)? as usize;
        if values.len() != expected {
            return Err(Error::DataLength { tensor: "the tensor", got: values.len(), expected });
        }
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let buffer = self.filled_buffer("conv1d tensor", bytemuck::cast_slice(values), usage)?;
        Ok(Tensor { gpu: self.clone(), buffer, offset: 0, shape })
    }

    /// A tensor over the first elements of a buffer of this device, which other code may use too. The buffer needs the usages
    /// `STORAGE`, `COPY_SRC` and `COPY_DST`.
    ///
    /// ```
    /// use conv1d::{Gpu, wgpu};
    /// let gpu = Gpu::new()?;
    /// let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
    ///     label: None,
    ///     size: 1024,
    ///     usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
    ///     mapped_at_creation: false,
    /// });
    /// let x = gpu.tensor_over(buffer, [2, 8, 16])?;
    /// x.write(&[1.0; 256])?;
    /// let mut values = [0.0; 256];
    /// x.read_into(&mut values)?;
    /// assert_eq!(values, [1.0; 256]);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn tensor_over(&self, buffer: wgpu::Buffer, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let needed = u64::from(elements("elements of a tensor", &shape)?) * 4;
        use wgpu::BufferUsages as Usage;
        for (flag, usage) in [(Usage::STORAGE, "STORAGE"), (Usage::COPY_SRC, "COPY_SRC"), (Usage::COPY_DST, "COPY_DST")]
        {
            if !buffer.usage().contains(flag) {
                return Err(Error::BufferUsage { role: "the tensor", usage });
            }
        }
        if buffer.size() < needed {
            return Err(Error::BufferTooSmall { role: "the tensor", got: buffer.size(), needed });
        }
        Ok(Tensor { gpu: self.clone(), buffer, offset: 0, shape })
    }

    /// A tensor of zeros.
    pub fn zeros(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let bytes = u64::from(elements("elements of a tensor", &shape)?) * 4;
        // WebGPU creates buffers filled with zeros.
        let buffer = self.storage_buffer("conv1d tensor", bytes)?;
        Ok(Tensor { gpu: self.clone(), buffer, offset: 0, shape })
    }
}

impl Gpu {
    /// Copies parts of a tensor into another. A part is its byte offset in the source, its byte offset in the target, and its length
    /// in bytes. Parts that are consecutive in both are one copy.
    pub(crate) fn copy_parts(
        &self,
        from: &Tensor,
        to: &Tensor,
        parts: impl IntoIterator<Item = (u64, u64, u64)>,
    ) -> Result<()> {
        from.belongs_to(self, "the tensor")?;
        self.guarded(|| {
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut open: Option<(u64, u64, u64)> = None;
            let mut copy = |part: Option<(u64, u64, u64)>| {
                if let Some((source, target, bytes)) = part {
                    encoder.copy_buffer_to_buffer(
                        &from.buffer,
                        from.offset + source,
                        &to.buffer,
                        to.offset + target,
                        bytes,
                    );
                }
            };
            for (source, target, bytes) in parts {
                match &mut open {
                    Some((first, start, length)) if *first + *length == source && *start + *length == target => {
                        *length += bytes;
                    }
                    _ => copy(open.replace((source, target, bytes))),
                }
            }
            copy(open);
            self.queue().submit([encoder.finish()]);
        })
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

    /// Its buffer, for other code on the same device, with the usages `STORAGE`, `COPY_SRC` and `COPY_DST`. The values start at
    /// [`Tensor::offset`].
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Byte offset of its values in its buffer: 0, except for a [part](Tensor::part) of another tensor.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The slice of its buffer that holds its values, to be bound.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(self.offset..self.offset + self.len() as u64 * 4)
    }

    /// Values from the element `first` on, as a tensor of another shape in the same memory.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the part ends after the tensor.
    pub fn part(&self, first: usize, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        let count = u64::from(elements("elements of a tensor", &shape)?);
        let (value, limit) = ((first as u64).saturating_add(count), self.len() as u64);
        if value > limit {
            return Err(Error::TooLarge { what: "last element of a part of a tensor", value, limit });
        }
        let offset = self.offset + first as u64 * 4;
        Ok(Tensor { gpu: self.gpu.clone(), buffer: self.buffer.clone(), offset, shape })
    }

    /// The device of the tensor.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The same memory in another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if that shape has another number of values.
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = shape.as_ref().to_vec();
        if elements("elements of a tensor", &shape)? as usize != self.len() {
            let expected = format!("{} values", self.len());
            return Err(Error::Shape { tensor: "the tensor", got: shape, expected });
        }
        Ok(Tensor { shape, ..self.clone() })
    }

    /// Replaces all values, once everything queued so far has run.
    ///
    /// # Errors
    /// [`Error::DataLength`] if the tensor has another number of values.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::DataLength { tensor: "the tensor", got: values.len(), expected: self.len() });
        }
        if self.is_empty() {
            return Ok(());
        }
        self.gpu.guarded(|| self.gpu.queue().write_buffer(&self.buffer, self.offset, bytemuck::cast_slice(values)))
    }

    /// Copies the values of another tensor on the same device, once everything queued so far has run.
    ///
    /// # Errors
    /// [`Error::DataLength`] if that tensor has another number of values, [`Error::WrongDevice`] if it is on another device.
    pub fn copy_from(&self, other: &Tensor) -> Result<()> {
        other.belongs_to(&self.gpu, "the other tensor")?;
        if other.len() != self.len() {
            return Err(Error::DataLength { tensor: "the other tensor", got: other.len(), expected: self.len() });
        }
        let same_memory = self.buffer == other.buffer;
        // A copy of a tensor to itself changes nothing.
        if self.is_empty() || (same_memory && self.offset == other.offset) {
            return Ok(());
        }
        if same_memory {
            // WebGPU copies only between two different buffers.
            return self.copy_from(&other.copied()?);
        }
        self.gpu.copy_parts(other, self, [(0, 0, self.len() as u64 * 4)])
    }

    /// A copy of the tensor in a new buffer.
    pub(crate) fn copied(&self) -> Result<Tensor> {
        let copy = self.gpu.zeros(&self.shape)?;
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Waits for the device and copies the values to the host.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self) -> Result<Vec<f32>> {
        block_on(self.read_async())
    }

    /// Copies the values to the host once everything queued so far has run. The future never blocks its thread; dropping it
    /// cancels the wait.
    pub async fn read_async(&self) -> Result<Vec<f32>> {
        if self.is_empty() {
            self.gpu.settled().await?;
            return Ok(Vec::new());
        }
        let view = self.mapped().await?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    /// As [`Tensor::read`], into a slice of [`Tensor::len`] values.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_into(&self, values: &mut [f32]) -> Result<()> {
        block_on(self.read_into_async(values))
    }

    /// As [`Tensor::read_async`], into a slice of [`Tensor::len`] values. On an error the slice is unchanged.
    pub async fn read_into_async(&self, values: &mut [f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::DataLength { tensor: "the slice", got: values.len(), expected: self.len() });
        }
        if self.is_empty() {
            return self.gpu.settled().await;
        }
        bytemuck::cast_slice_mut(values).copy_from_slice(&self.mapped().await?);
        Ok(())
    }

    /// A copy of the values, mapped to host memory.
    async fn mapped(&self) -> Result<wgpu::BufferView> {
        let (gpu, bytes) = (&self.gpu, self.len() as u64 * 4);
        let (staging, signal) = gpu.guarded(|| {
            let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("conv1d staging"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.buffer, self.offset, &staging, 0, bytes);
            let submission = gpu.queue().submit([encoder.finish()]);
            let signal = Signal::new(submission, |teller| {
                staging.map_async(wgpu::MapMode::Read, .., move |mapped| teller.tell(mapped.map_err(unmapped)));
            });
            (staging, signal)
        })?;
        gpu.wait(signal).await?;
        staging.get_mapped_range(..).map_err(unmapped)
    }

    pub(crate) fn belongs_to(&self, gpu: &Gpu, tensor: &'static str) -> Result<()> {
        gpu.check_own(&self.gpu, tensor)
    }
}

fn unmapped(reason: impl std::fmt::Display) -> Error {
    Error::Validation { message: format!("the values could not be mapped: {reason}") }
}
