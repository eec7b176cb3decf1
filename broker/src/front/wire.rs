//! Just enough of Kafka's wire format to look into the few requests that the front cares for.

use std::fmt;

/// Bytes that are no Kafka request, or one that was cut short.
#[derive(Debug)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed request")
    }
}

impl std::error::Error for Malformed {}

/// Reads fields off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// An unsigned varint of at most 32 bits.
    pub(crate) fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(len)?).map_err(|_| Malformed)
    }

    /// A string with a two-byte length; `None` for null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let len = self.i16()?;
        usize::try_from(len).ok().map(|len| self.text(len)).transpose()
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_string()?.ok_or(Malformed)
    }

    /// A string of the flexible layout; `None` for null.
    pub(crate) fn compact_nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let len = self.varint()?;
        len.checked_sub(1).map(|len| self.text(len as usize)).transpose()
    }

    pub(crate) fn compact_string(&mut self) -> Result<&'a str, Malformed> {
        self.compact_nullable_string()?.ok_or(Malformed)
    }

    /// The length of an array; a null array counts as empty.
    pub(crate) fn array_len(&mut self) -> Result<usize, Malformed> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let _tag = self.varint()?;
            let len = self.varint()?;
            self.take(len as usize)?;
        }
        Ok(())
    }
}

/// The fixed start of every request, and the client's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) api_key: i16,
    pub(crate) api_version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<&'a str>,
}

impl<'a> Header<'a> {
    /// Reads header version 1. A flexible request has tagged fields after it, which are left in the reader.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: reader.nullable_string()?,
        })
    }
}

/// Builds a frame: a length, then fields.
#[derive(Debug)]
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    pub(crate) fn new() -> Self {
        Self(vec![0; 4])
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16).bytes(text.as_bytes())
    }

    pub(crate) fn nullable_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    pub(crate) fn compact_string(&mut self, text: &str) -> &mut Self {
        self.varint(text.len() as u32 + 1).bytes(text.as_bytes())
    }

    /// Fills in the length and gives the bytes away.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = (self.0.len() - 4) as i32;
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut frame = Frame::new();
        frame.i16(7).i32(-2).i64(1 << 40).varint(300).string("abc").nullable_string(None).compact_string("xyz");
        let bytes = frame.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i32().ok(), i32::try_from(bytes.len() - 4).ok());
        assert_eq!(reader.i16().ok(), Some(7));
        assert_eq!(reader.i32().ok(), Some(-2));
        assert_eq!(reader.i64().ok(), Some(1 << 40));
        assert_eq!(reader.varint().ok(), Some(300));
        assert_eq!(reader.string().ok(), Some("abc"));
        assert!(matches!(reader.nullable_string(), Ok(None)));
        assert_eq!(reader.compact_string().ok(), Some("xyz"));
        assert!(reader.i8().is_err(), "reading past the end is an error, not a panic");
    }
}
