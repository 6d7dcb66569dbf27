//! The boot loader's data for the kernel, by the PVH boot protocol (Xen,
//! `public/arch-x86/hvm/start_info.h`).

use core::ptr::{NonNull, addr_of, with_exposed_provenance, with_exposed_provenance_mut};
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use hpalloc::{Arena, ArenaError, MAX_ARENA_SIZE, PAGE_SIZE, RawRegion};

/// `hvm_start_info`.
#[repr(C)]
#[allow(dead_code, reason = "the layout is the protocol's")]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    /// Since version 1.
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `hvm_memmap_table_entry`.
#[repr(C)]
#[allow(dead_code, reason = "the layout is the protocol's")]
struct MemoryMapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

const MAGIC: u32 = 0x336E_C578;
const RAM: u32 = 1;
/// The size of the memory that the start code maps.
const MAPPED: usize = 1 << 30;

unsafe extern "C" {
    /// The end of the kernel's image, which includes its stack. Only the address is
    /// meaningful.
    static _image_end: u8;
}

/// Returns the memory after the kernel's image in whole pages, limited to mapped memory
/// and the maximum size of an arena. Returns `None` if the loader passed modules, because
/// this kernel doesn't know which memory they occupy.
pub(crate) fn free_memory() -> Option<NonNull<[u8]>> {
    let info = with_exposed_provenance::<StartInfo>(hpalloc_target_harness::pvh_start_info());
    // SAFETY: the loader stored the structure there, in mapped memory that nothing writes
    // to.
    let info = unsafe { info.as_ref() }.filter(|info| info.magic == MAGIC && info.version >= 1 && info.modules == 0)?;
    let map = with_exposed_provenance::<MemoryMapEntry>(info.memory_map as usize);
    // SAFETY: the loader stored this number of entries there.
    let map = unsafe { slice::from_raw_parts(map, info.memory_map_entries as usize) };

    let start = addr_of!(_image_end).expose_provenance().next_multiple_of(PAGE_SIZE);
    let entry = map.iter().find(|entry| {
        let range = entry.address as usize..entry.address.saturating_add(entry.size) as usize;
        entry.kind == RAM && range.contains(&start)
    })?;
    let end = (entry.address.saturating_add(entry.size) as usize).min(MAPPED).min(start + MAX_ARENA_SIZE);
    let size = (end - start) & !(PAGE_SIZE - 1);
    let first = NonNull::new(with_exposed_provenance_mut(start))?;
    Some(NonNull::slice_from_raw_parts(first, size))
}

/// Creates the arena over this memory. Returns an error if there is no such memory, and
/// on every call after the first.
pub(crate) fn arena() -> Result<Arena<RawRegion>, ArenaError> {
    static CLAIMED: AtomicBool = AtomicBool::new(false);

    let free = free_memory().unwrap_or_else(|| NonNull::slice_from_raw_parts(NonNull::dangling(), 0));
    if CLAIMED.swap(true, Ordering::Relaxed) {
        return Err(ArenaError::AlreadyClaimed { available: free.len() });
    }
    // SAFETY: the boot loader reports the memory as free, it is mapped, and nothing else
    // uses it.
    unsafe { Arena::from_raw(free) }
}
