//! The name section, read when a name is first asked for.
//!
//! Only places in the module's bytes are kept, 12 to 16 bytes a name; the names themselves are never copied. A malformed
//! section is not an error: what comes before the bad point of a subsection counts, the rest of this subsection is ignored.

use crate::index::{narrow, widen};
use crate::{
    DataIdx, ElemIdx, FieldIdx, FuncIdx, GlobalIdx, LabelIdx, LocalIdx, MemoryIdx, TableIdx, TagIdx, TypeIdx,
};
use core::ops::Range;
use wasmparser::BinaryReader;

/// Where a name is in the module's bytes.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    len: u32,
}

impl Place {
    fn text(self, bytes: &[u8]) -> Option<&str> {
        let start = widen(self.start);
        core::str::from_utf8(bytes.get(start..start.checked_add(widen(self.len))?)?).ok()
    }
}

/// Names by index, in ascending order.
#[derive(Debug, Default)]
struct NameMap(Vec<(u32, Place)>);

impl NameMap {
    fn get(&self, index: u32) -> Option<Place> {
        let at = self.0.binary_search_by_key(&index, |(key, _)| *key).ok()?;
        Some(self.0[at].1)
    }
}

/// Names by two indices, in ascending order.
#[derive(Debug, Default)]
struct IndirectNameMap(Vec<((u32, u32), Place)>);

impl IndirectNameMap {
    fn get(&self, outer: u32, inner: u32) -> Option<Place> {
        let at = self.0.binary_search_by_key(&(outer, inner), |(key, _)| *key).ok()?;
        Some(self.0[at].1)
    }
}

/// The places of all names of a module.
#[derive(Debug, Default)]
pub(crate) struct NameSection {
    module: Option<Place>,
    funcs: NameMap,
    locals: IndirectNameMap,
    labels: IndirectNameMap,
    types: NameMap,
    tables: NameMap,
    memories: NameMap,
    globals: NameMap,
    elements: NameMap,
    data: NameMap,
    fields: IndirectNameMap,
    tags: NameMap,
}

impl NameSection {
    /// Reads the section whose contents lie at `range`.
    pub(crate) fn parse(bytes: &[u8], range: Range<usize>) -> NameSection {
        let mut names = NameSection::default();
        if let Some(contents) = bytes.get(range.clone()) {
            let mut reader = BinaryReader::new(contents, range.start as u64);
            while !reader.eof() && names.subsection(&mut reader).is_ok() {}
        }
        names
    }

    /// Reads one subsection. An error means that the next one cannot be found.
    fn subsection(&mut self, reader: &mut BinaryReader<'_>) -> wasmparser::Result<()> {
        let id = reader.read_u8()?;
        let mut contents = reader.read_reader()?;
        // Whatever is wrong inside ends this subsection only.
        let _bad_point = match id {
            0 => read_place(&mut contents).map(|place| {
                self.module.get_or_insert(place);
            }),
            1 => read_map(&mut contents, &mut self.funcs),
            2 => read_indirect_map(&mut contents, &mut self.locals),
            3 => read_indirect_map(&mut contents, &mut self.labels),
            4 => read_map(&mut contents, &mut self.types),
            5 => read_map(&mut contents, &mut self.tables),
            6 => read_map(&mut contents, &mut self.memories),
            7 => read_map(&mut contents, &mut self.globals),
            8 => read_map(&mut contents, &mut self.elements),
            9 => read_map(&mut contents, &mut self.data),
            10 => read_indirect_map(&mut contents, &mut self.fields),
            11 => read_map(&mut contents, &mut self.tags),
            _ => Ok(()),
        };
        Ok(())
    }
}

fn read_place(reader: &mut BinaryReader<'_>) -> wasmparser::Result<Place> {
    let text = reader.read_unlimited_string()?;
    let end = crate::index::offset(reader.original_position());
    Ok(Place { start: narrow(end - text.len()), len: narrow(text.len()) })
}

/// Reads a map up to its end or bad point. Indices must ascend, as lookups rely on it; a subsection that comes twice
/// counts once.
fn read_map(reader: &mut BinaryReader<'_>, map: &mut NameMap) -> wasmparser::Result<()> {
    if !map.0.is_empty() {
        return Ok(());
    }
    for _ in 0..reader.read_var_u32()? {
        let index = reader.read_var_u32()?;
        let place = read_place(reader)?;
        if map.0.last().is_some_and(|(last, _)| *last >= index) {
            break;
        }
        map.0.push((index, place));
    }
    map.0.shrink_to_fit();
    Ok(())
}

/// As [`read_map`], for names by two indices.
fn read_indirect_map(reader: &mut BinaryReader<'_>, map: &mut IndirectNameMap) -> wasmparser::Result<()> {
    if !map.0.is_empty() {
        return Ok(());
    }
    for _ in 0..reader.read_var_u32()? {
        let outer = reader.read_var_u32()?;
        for _ in 0..reader.read_var_u32()? {
            let key = (outer, reader.read_var_u32()?);
            let place = read_place(reader)?;
            if map.0.last().is_some_and(|(last, _)| *last >= key) {
                return Ok(());
            }
            map.0.push((key, place));
        }
    }
    map.0.shrink_to_fit();
    Ok(())
}

/// A name of a part of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// What has the name, in words: `memory`, `local`.
    pub kind: &'static str,
    /// The function of a local or label, the type of a field.
    pub of: Option<u32>,
    /// The index of what has the name.
    pub index: u32,
    /// The name.
    pub text: &'a str,
}

/// The names that a module's name section gives, read from the module's bytes.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    section: &'a NameSection,
    bytes: &'a [u8],
}

macro_rules! lookups {
    ($($(#[$doc:meta])* $name:ident($($index:ident: $type:ident),*) = $map:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, $($index: $type),*) -> Option<&'a str> {
            self.section.$map.get($($index.as_u32()),*)?.text(self.bytes)
        }
    )*};
}

impl<'a> Names<'a> {
    pub(crate) fn new(section: &'a NameSection, bytes: &'a [u8]) -> Names<'a> {
        Names { section, bytes }
    }

    /// The name of the module.
    pub fn module(&self) -> Option<&'a str> {
        self.section.module?.text(self.bytes)
    }

    /// The names of functions with their indices, in ascending order.
    pub fn functions(&self) -> impl Iterator<Item = (FuncIdx, &'a str)> + use<'a> {
        let bytes = self.bytes;
        let rows = self.section.funcs.0.iter();
        rows.filter_map(move |(index, place)| Some((FuncIdx::new(*index), place.text(bytes)?)))
    }

    /// All names but the module's, by kind, in ascending order of their one or two indices.
    pub fn all(&self) -> impl Iterator<Item = Name<'a>> + use<'a> {
        let (section, bytes) = (self.section, self.bytes);
        let maps = [
            ("function", &section.funcs),
            ("type", &section.types),
            ("table", &section.tables),
            ("memory", &section.memories),
            ("global", &section.globals),
            ("element segment", &section.elements),
            ("data segment", &section.data),
            ("tag", &section.tags),
        ];
        let indirect = [("local", &section.locals), ("label", &section.labels), ("field", &section.fields)];
        let single = maps
            .into_iter()
            .flat_map(|(kind, map)| map.0.iter().map(move |(index, place)| (kind, None, *index, *place)));
        let double = indirect.into_iter().flat_map(|(kind, map)| {
            map.0.iter().map(move |((outer, index), place)| (kind, Some(*outer), *index, *place))
        });
        single.chain(double).filter_map(move |(kind, of, index, place)| {
            Some(Name { kind, of, index, text: place.text(bytes)? })
        })
    }

    lookups! {
        /// The name of a function.
        function(func: FuncIdx) = funcs;
        /// The name of a parameter or local of a function.
        local(func: FuncIdx, local: LocalIdx) = locals;
        /// The name of a label of a function.
        label(func: FuncIdx, label: LabelIdx) = labels;
        /// The name of a type.
        ty(ty: TypeIdx) = types;
        /// The name of a table.
        table(table: TableIdx) = tables;
        /// The name of a memory.
        memory(memory: MemoryIdx) = memories;
        /// The name of a global.
        global(global: GlobalIdx) = globals;
        /// The name of an element segment.
        element(segment: ElemIdx) = elements;
        /// The name of a data segment.
        data(segment: DataIdx) = data;
        /// The name of a field of a structure type.
        field(ty: TypeIdx, field: FieldIdx) = fields;
        /// The name of an exception tag.
        tag(tag: TagIdx) = tags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of<R>(contents: &[u8], look: impl Fn(Names<'_>) -> R) -> R {
        let section = NameSection::parse(contents, 0..contents.len());
        look(Names::new(&section, contents))
    }

    /// A subsection of a name section.
    fn subsection(id: u8, contents: &[u8]) -> Vec<u8> {
        [&[id, contents.len() as u8], contents].concat()
    }

    #[test]
    fn fields_and_tags_have_names() {
        let section = [subsection(10, b"\x01\x02\x01\x03\x01f"), subsection(11, b"\x01\x00\x01t")].concat();
        names_of(&section, |names| {
            assert_eq!(names.field(TypeIdx::new(2), FieldIdx::new(3)), Some("f"));
            assert_eq!(names.tag(TagIdx::new(0)), Some("t"));
            let all: Vec<_> = names.all().map(|name| (name.kind, name.of, name.index, name.text)).collect();
            assert_eq!(all, [("tag", None, 0, "t"), ("field", Some(2), 3, "f")]);
        });
    }

    #[test]
    fn a_bad_point_ends_its_subsection_only() {
        let cases: &[(&str, &[u8])] = &[
            ("more names announced than there are", b"\x09\x00\x01a"),
            ("a name longer than the subsection", b"\x02\x00\x01a\x01\x70b"),
            ("a name that is not UTF-8", b"\x02\x00\x01a\x01\x02\xff\xfe"),
            ("indices that do not ascend", b"\x03\x00\x01a\x00\x01b\x01\x01c"),
            ("an index that does not fit", b"\x02\x00\x01a\xff\xff\xff\xff\xff\x01b"),
        ];
        for (what, funcs) in cases {
            let section = [subsection(1, funcs), subsection(7, b"\x01\x05\x01g")].concat();
            names_of(&section, |names| {
                assert_eq!(names.function(FuncIdx::new(0)), Some("a"), "{what}");
                assert_eq!(names.function(FuncIdx::new(1)), None, "{what}");
                assert_eq!(names.global(GlobalIdx::new(5)), Some("g"), "{what}");
            });
        }
    }

    #[test]
    fn a_subsection_without_end_ends_the_section() {
        let section = [subsection(1, b"\x01\x00\x01a"), vec![7, 100, 1, 5, 1, b'g']].concat();
        names_of(&section, |names| {
            assert_eq!(names.function(FuncIdx::new(0)), Some("a"));
            assert_eq!(names.global(GlobalIdx::new(5)), None);
        });
    }

    #[test]
    fn the_first_of_two_equal_subsections_counts() {
        let section = [
            subsection(0, b"\x01m"),
            subsection(0, b"\x01n"),
            subsection(1, b"\x01\x00\x01a"),
            subsection(1, b"\x02\x00\x01b\x01\x01c"),
        ];
        names_of(&section.concat(), |names| {
            assert_eq!(names.module(), Some("m"));
            assert_eq!(names.function(FuncIdx::new(0)), Some("a"));
            assert_eq!(names.function(FuncIdx::new(1)), None);
        });
    }

    #[test]
    fn wrong_bytes_give_no_names_instead_of_a_panic() {
        let section = subsection(1, b"\x01\x00\x03abc");
        let names = NameSection::parse(&section, 0..section.len());
        assert_eq!(Names::new(&names, b"").function(FuncIdx::new(0)), None);
        assert_eq!(Names::new(&names, &[0xff; 20]).function(FuncIdx::new(0)), None);
        assert!(NameSection::parse(&section, 5..99).funcs.0.is_empty());
    }
}
