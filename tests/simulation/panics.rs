//! Panics anywhere in a world. Most of its tasks are joined by nobody, so that a panic in one of them
//! would be seen by nobody either.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    /// A world lives in one thread, and a thread has one world at a time.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From here on this thread's panics are noted; those of before are forgotten.
pub(crate) fn begin() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note(panic);
            print(panic);
        }));
    });
    SEEN.take();
}

/// The panics of this thread since then, caught or not.
pub(crate) fn end() -> Vec<String> {
    SEEN.take()
}

fn note(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("without a word");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".to_owned());
    // A thread that is about to end has no list any more, and no world.
    let _ = SEEN.try_with(|seen| {
        seen.borrow_mut()
            .push(format!("a panic at {place}: {text}"))
    });
}
