//! Whether a device still works.

use super::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A buffer that nothing uses, asked for to be mapped: wgpu refuses at once where the device is lost. Nothing else tells that in
/// the call: error scopes leave it out, and the callback for it waits for the queue to be empty.
#[derive(Debug)]
pub(super) struct Probe {
    buffer: Mutex<wgpu::Buffer>,
}

impl Probe {
    /// None where the device is lost already.
    pub(super) fn new(device: &wgpu::Device) -> Option<Probe> {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("conv1d probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let probe = Probe { buffer: Mutex::new(buffer) };
        (!probe.is_lost()).then_some(probe)
    }

    pub(super) fn is_lost(&self) -> bool {
        let buffer = lock(&self.buffer);
        let refused = Arc::new(AtomicBool::new(false));
        let told = refused.clone();
        buffer.map_async(wgpu::MapMode::Read, .., move |mapped| told.store(mapped.is_err(), Ordering::Release));
        let lost = refused.load(Ordering::Acquire);
        // This tells the callback that the mapping failed, but by then the answer is known.
        buffer.unmap();
        lost
    }
}
