use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// The console of the host.
struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        #[link(wasm_import_module = "host")]
        unsafe extern "C" {
            fn print(start: *const u8, length: usize);
        }
        // SAFETY: the host reads the text and doesn't keep the pointer.
        unsafe { print(text.as_ptr(), text.len()) };
        Ok(())
    }
}

pub(crate) fn print_line(line: fmt::Arguments<'_>) {
    let _ = writeln!(Console, "{line}");
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    print_line(format_args!("{info}"));
    core::arch::wasm32::unreachable()
}
