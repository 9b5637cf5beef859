//! Detection of a lost device.

use super::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Detects a lost device by mapping a destroyed buffer. If the device works, wgpu refuses with a validation error. If the device is
/// lost, wgpu refuses before it looks at the buffer, and without an error: error scopes ignore lost devices, and the callback for
/// them waits for the queue to be empty.
///
/// (The callback of a valid buffer would also tell, but another thread's `poll` may map that buffer at the same time.)
#[derive(Debug)]
pub(super) struct Probe {
    device: wgpu::Device,
    /// Locked because wgpu keeps a requested mapping until it is unmapped.
    buffer: Mutex<wgpu::Buffer>,
}

impl Probe {
    /// `None` if the device is already lost: its buffers are invalid, and mapping one shows nothing.
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
        // Ends the previous request: the buffer is not mapped, but counts as mapped until here.
        validated(&self.device, || buffer.unmap());
        validated(&self.device, || buffer.map_async(wgpu::MapMode::Read, .., |_| ()))
    }
}

/// Whether a call raises no validation error.
fn validated(device: &wgpu::Device, call: impl FnOnce()) -> bool {
    let errors = device.push_error_scope(wgpu::ErrorFilter::Validation);
    call();
    pollster::block_on(errors.pop()).is_none()
}
