//! Results of many steps, where LSIO has put them.

use crate::element::{self, Element, ElementType};
use crate::error::{Error, Result};
use lsio_sys as sys;
use std::{fmt, slice};

/// Results of some steps of a job, in memory that nobody has copied.
///
/// A batch may be kept as long as it is needed, sent to other threads and cloned, which copies no data. As
/// long as any clone is there, its memory is, which counts against the context's: keep
/// [`Chunk::to_vec`] where a few bytes of a large batch are to stay.
pub struct Batch {
    block: *mut sys::lsio_block,
    data: *const u8,
    results: *const sys::lsio_result,
    n: usize,
    element: Option<ElementType>,
}

// SAFETY: nobody changes what is in a block; it may be retained and released on any thread.
unsafe impl Send for Batch {}
unsafe impl Sync for Batch {}

impl Batch {
    /// # Safety
    /// `e` is an event with results, whose block is this batch's from now on.
    pub(crate) unsafe fn from_c(e: &sys::lsio_event, element: Option<ElementType>) -> Self {
        Batch { block: e.block, data: e.data.cast(), results: e.results, n: e.n as usize, element }
    }

    fn results(&self) -> &[sys::lsio_result] {
        if self.n == 0 {
            return &[];
        }
        // SAFETY: n results, as long as the block is held.
        unsafe { slice::from_raw_parts(self.results, self.n) }
    }

    /// How many results there are.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The i-th result.
    pub fn get(&self, i: usize) -> Option<Chunk<'_>> {
        self.results().get(i).map(|result| Chunk { batch: self, result })
    }

    /// The results, one after the other.
    pub fn iter(&self) -> Chunks<'_> {
        Chunks { batch: self, results: self.results().iter() }
    }

    /// The result of a batch that has one, or those that lie one behind the other without gaps, as elements.
    ///
    /// Results of several steps need not lie so: go through them by [`iter`](Batch::iter).
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        let (begin, end) = self.extent()?;
        // SAFETY: these bytes lie within the block, which this borrow keeps.
        unsafe { element::slice(self.element, self.data.add(begin), end - begin) }
    }

    /// From the first byte of its results to the last, if they lie without gaps.
    fn extent(&self) -> Result<(usize, usize)> {
        let Some(first) = self.results().first() else { return Ok((0, 0)) };
        let (begin, mut end) = (first.begin as usize, first.begin as usize);
        for r in self.results() {
            if r.begin as usize != end {
                return Err(Error::usage("the results of this batch do not lie one behind the other"));
            }
            end += r.length as usize;
        }
        Ok((begin, end))
    }

    /// The same as [`Bytes`](bytes::Bytes), without a copy; an error where results have gaps between them.
    #[cfg(feature = "bytes")]
    pub fn into_bytes(self) -> Result<bytes::Bytes> {
        let (begin, end) = self.extent()?;
        Ok(bytes::Bytes::from_owner(Part { batch: self, begin, length: end - begin }))
    }
}

#[cfg(feature = "bytes")]
struct Part {
    batch: Batch,
    begin: usize,
    length: usize,
}

#[cfg(feature = "bytes")]
impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: within the batch's block.
        unsafe { bytes_at(self.batch.data, self.begin, self.length) }
    }
}

unsafe fn bytes_at<'a>(data: *const u8, begin: usize, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    slice::from_raw_parts(data.add(begin), length)
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        // SAFETY: held, so it can be held once more.
        unsafe { sys::lsio_block_retain(self.block) };
        Batch { ..*self }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: this reference is the batch's.
        unsafe { sys::lsio_block_release(self.block) };
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("results", &self.n).field("type", &self.element).finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Chunk<'a>;
    type IntoIter = Chunks<'a>;

    fn into_iter(self) -> Chunks<'a> {
        self.iter()
    }
}

/// The results of a [`Batch`].
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    batch: &'a Batch,
    results: slice::Iter<'a, sys::lsio_result>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.results.next().map(|result| Chunk { batch: self.batch, result })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.results.size_hint()
    }
}

impl ExactSizeIterator for Chunks<'_> {}

/// The result of one step.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    batch: &'a Batch,
    result: &'a sys::lsio_result,
}

impl<'a> Chunk<'a> {
    /// Index of the step in the request.
    pub fn step(&self) -> u64 {
        self.result.step
    }

    /// The tag that the request gave it.
    pub fn tag(&self) -> i64 {
        self.result.tag
    }

    /// Whether it is a record: text that a transform in Lua has returned.
    pub fn is_record(&self) -> bool {
        self.result.is_record != 0
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        // SAFETY: the result lies within the block, which the borrow of the batch keeps.
        unsafe { bytes_at(self.batch.data, self.result.begin as usize, self.result.length as usize) }
    }

    fn element(&self) -> Option<ElementType> {
        if self.is_record() {
            Some(ElementType::U8)
        } else {
            self.batch.element
        }
    }

    /// As elements. An error if they are of another type, though bytes may be seen as anything; or if they do
    /// not lie as the type must, which happens where an offset is no multiple of its size.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T]> {
        let bytes = self.as_bytes();
        // SAFETY: as of the bytes.
        unsafe { element::slice(self.element(), bytes.as_ptr(), bytes.len()) }
    }

    /// A copy, as elements, which does not keep the batch.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        element::copied(self.element(), self.as_bytes())
    }

    /// As [`Bytes`](bytes::Bytes), without a copy; they keep the whole batch.
    #[cfg(feature = "bytes")]
    pub fn to_bytes(&self) -> bytes::Bytes {
        let (begin, length) = (self.result.begin as usize, self.result.length as usize);
        bytes::Bytes::from_owner(Part { batch: self.batch.clone(), begin, length })
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes().len();
        f.debug_struct("Chunk").field("step", &self.step()).field("bytes", &bytes).finish()
    }
}
