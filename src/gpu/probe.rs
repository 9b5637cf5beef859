//! Whether a device still works.

use super::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A destroyed buffer that is asked for to be mapped. wgpu refuses that with a validation error where the device works. Where the
/// device is lost, it refuses before it looks at the buffer, and without an error: error scopes leave lost devices out, and the
/// callback for them waits for the queue to be empty.
///
/// (A buffer that works would tell as much by its callback, but another thread's `poll` may map it at the same time.)
#[derive(Debug)]
pub(super) struct Probe {
    device: wgpu::Device,
    /// Locked because wgpu keeps the mapping that is asked for until it is taken back.
    buffer: Mutex<wgpu::Buffer>,
}

impl Probe {
    /// None where the device is lost already: its buffers are invalid, which says nothing later.
    pub(super) fn new(device: &wgpu::Device) -> Option<Probe> {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("conv1d probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let refused = Arc::new(AtomicBool::new(false));
        let told = refused.clone();
        let map =
            || buffer.map_async(wgpu::MapMode::Read, .., move |mapped| told.store(mapped.is_err(), Ordering::Release));
        validated(device, map);
        let lost = refused.load(Ordering::Acquire);
        buffer.destroy();
        (!lost).then(|| Probe { device: device.clone(), buffer: Mutex::new(buffer) })
    }

    pub(super) fn is_lost(&self) -> bool {
        let buffer = lock(&self.buffer);
        // The buffer is not mapped, but counts as mapped until this.
        validated(&self.device, || buffer.unmap());
        validated(&self.device, || buffer.map_async(wgpu::MapMode::Read, .., |_| ()))
    }
}

/// Whether a call passes without a validation error.
fn validated(device: &wgpu::Device, call: impl FnOnce()) -> bool {
    let errors = device.push_error_scope(wgpu::ErrorFilter::Validation);
    call();
    pollster::block_on(errors.pop()).is_none()
}
