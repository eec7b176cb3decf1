//! How the functions of the interface get at their arguments, so that the reason why that is sound stands in one place: the
//! rules at the top of the header.

/// `borrow!(handle)`: a reference to what an argument points at.
macro_rules! borrow {
    ($argument:ident) => {{
        // SAFETY: the interface's rule: a handle is NULL, or was made by ksem and is not freed yet.
        unsafe { $crate::boundary::borrow($argument, stringify!($argument)) }
    }};
}

/// `borrow_mut!(handle)`: the same, for handles that one thread uses at a time.
macro_rules! borrow_mut {
    ($argument:ident) => {{
        // SAFETY: the interface's rule: such a handle is NULL, or made by ksem, not freed, and used by one thread.
        unsafe { $crate::boundary::borrow_mut($argument, stringify!($argument)) }
    }};
}

/// `text!(argument)`: a string argument.
macro_rules! text {
    ($argument:ident) => {{
        // SAFETY: the interface's rule: a text is NULL, or ends with NUL and stays as it is during the call.
        unsafe { $crate::boundary::text($argument, stringify!($argument)) }
    }};
}

/// `array!(items, len)`: an array argument.
macro_rules! array {
    ($items:ident, $len:expr) => {{
        // SAFETY: the interface's rule: an array is NULL or has as many items as is said, and stays during the call.
        unsafe { $crate::boundary::array($items, $len, stringify!($items)) }
    }};
}

/// `put!(place, value)`: writes to an out parameter for a number.
macro_rules! put {
    ($place:ident, $value:expr) => {{
        let value = $value;
        // SAFETY: the interface's rule: an out parameter is NULL or can be written to.
        unsafe { $crate::boundary::write($place, value) }
    }};
}

/// `release!(handle)`: frees a handle.
macro_rules! release {
    ($handle:ident) => {{
        // SAFETY: the interface's rule: a handle is freed once, and not used again.
        unsafe { $crate::boundary::release($handle) }
    }};
}
