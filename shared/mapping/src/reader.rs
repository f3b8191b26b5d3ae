//! Reads all paths of a map in one pass over a body: a trie of paths that follows the JSON parser.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::captured::{Captured, capture, fits};
use crate::path::{ElementFilter, Path, Segment};

/// What a reader found: one value for each path, in the order of the paths.
pub type Slots<'a> = Vec<Captured<'a>>;

/// A body that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// What is wrong; holds no part of the body.
    pub reason: &'static str,
    /// The byte at which reading ended, where known.
    pub at: Option<usize>,
}

/// A step of the trie: the slot that is filled here, and the nodes that the next steps lead to.
#[derive(Debug, Clone, Default)]
struct Node {
    slot: Option<u16>,
    /// By name, sorted by [`order`].
    keys: Vec<(Box<str>, u32)>,
    index: Vec<(usize, u32)>,
    each: Option<u32>,
    filtered: Vec<(ElementFilter, u32)>,
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.index.is_empty() && self.each.is_none() && self.filtered.is_empty()
    }

    /// The nodes that an element goes to, and whether it is one of many. A filter that wants only the first element is closed by it.
    fn children(&self, index: usize, raw: &str, open: &mut [bool]) -> Vec<(u32, bool)> {
        let mut children: Vec<(u32, bool)> = self.element(index).map(|node| (node, false)).into_iter().collect();
        children.extend(self.each.map(|node| (node, true)));
        for ((filter, node), open) in self.filtered.iter().zip(open) {
            if *open && fits(filter, raw) {
                *open = filter.every;
                children.push((*node, filter.every));
            }
        }
        children
    }

    fn below(&self) -> impl Iterator<Item = u32> + '_ {
        let named = self.keys.iter().map(|(_, node)| *node).chain(self.index.iter().map(|(_, node)| *node));
        named.chain(self.filtered.iter().map(|(_, node)| *node)).chain(self.each)
    }

    fn key(&self, key: &str) -> Option<u32> {
        self.keys.binary_search_by(|(name, _)| order(name, key)).ok().map(|i| self.keys[i].1)
    }

    fn element(&self, index: usize) -> Option<u32> {
        self.index.iter().find(|(i, _)| *i == index).map(|(_, node)| *node)
    }
}

/// Short names first: most comparisons end at the length.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// Reads all paths of a map in one pass over a body: a trie of paths that follows the parser.
#[derive(Debug, Clone)]
pub struct Reader {
    nodes: Vec<Node>,
    slots: usize,
}

impl Reader {
    /// A reader of these paths; a path's slot is its index.
    pub fn new(paths: &[Path]) -> Reader {
        let mut reader = Reader { nodes: vec![Node::default()], slots: paths.len() };
        for (slot, path) in paths.iter().enumerate() {
            let mut at = 0_usize;
            for segment in path.segments() {
                at = reader.child(at, segment);
            }
            reader.nodes[at].slot = u16::try_from(slot).ok();
        }
        reader
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = &mut self.nodes[at];
        let found = match segment {
            Segment::Key(key) => match node.keys.binary_search_by(|(name, _)| order(name, key)) {
                Ok(i) => node.keys[i].1,
                Err(i) => {
                    node.keys.insert(i, (key.as_str().into(), new));
                    new
                }
            },
            Segment::Index(index) => node.element(*index).unwrap_or_else(|| {
                node.index.push((*index, new));
                new
            }),
            Segment::Each => *node.each.get_or_insert(new),
            Segment::Where(filter) => match node.filtered.iter().find(|(known, _)| known == filter) {
                Some((_, node)) => *node,
                None => {
                    node.filtered.push((filter.clone(), new));
                    new
                }
            },
        };
        if found == new {
            self.nodes.push(Node::default());
        }
        found as usize
    }

    /// Reads a JSON document. Of a name that an object holds twice, the last counts.
    ///
    /// # Errors
    /// It is not UTF-8, not JSON, or nested too deeply.
    pub fn json<'a>(&self, body: &'a [u8]) -> Result<Slots<'a>, Unreadable> {
        let text =
            std::str::from_utf8(body).map_err(|e| Unreadable { reason: "the body is not UTF-8", at: Some(e.valid_up_to()) })?;
        let mut slots = vec![Captured::Absent; self.slots];
        let mut parser = serde_json::Deserializer::from_str(text);
        self.seed(0, &mut slots)
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|e| Unreadable { reason: reason_of(&e), at: Some(offset(text, e.line(), e.column())) })?;
        Ok(slots)
    }

    fn seed<'t, 's, 'a>(&'t self, node: u32, slots: &'s mut Slots<'a>) -> Seed<'t, 's, 'a> {
        Seed { reader: self, node, slots, many: false }
    }

    /// Fills the slots of a list's elements that the list does not have.
    fn fill_unmatched(&self, node: &Node, count: usize, open: &[bool], slots: &mut Slots<'_>, many: bool) {
        let beyond = node.index.iter().filter(|(index, _)| *index >= count).map(|(_, child)| (*child, false));
        let filtered = node.filtered.iter().zip(open).filter(|(_, open)| **open);
        let filtered = filtered.map(|((filter, child), _)| (*child, filter.every));
        let each = node.each.filter(|_| count == 0).map(|child| (child, true));
        for (child, every) in beyond.chain(filtered).chain(each) {
            if every { self.fill_empty(child, slots) } else { self.fill(child, slots, many, &Captured::Unmatched) }
        }
    }

    /// Puts an empty list into every slot of this node and below it that nothing was found for.
    fn fill_empty(&self, node: u32, slots: &mut Slots<'_>) {
        let node = &self.nodes[node as usize];
        if let Some(found) = node.slot.map(|slot| &mut slots[usize::from(slot)])
            && *found == Captured::Absent
        {
            *found = Captured::Many(Vec::new());
        }
        for child in node.below() {
            self.fill_empty(child, slots);
        }
    }

    /// Fills this node and everything below it: what is inside of null is null as well.
    fn fill<'a>(&self, node: u32, slots: &mut Slots<'a>, many: bool, with: &Captured<'a>) {
        let node = &self.nodes[node as usize];
        if let Some(slot) = node.slot {
            store(slots, slot, with.clone(), many);
        }
        for child in node.below().filter(|child| Some(*child) != node.each) {
            self.fill(child, slots, many, with);
        }
    }
}

fn store<'a>(slots: &mut Slots<'a>, slot: u16, value: Captured<'a>, many: bool) {
    let found = &mut slots[usize::from(slot)];
    match (many, found) {
        (true, Captured::Many(list)) => list.push(value),
        (true, found) => *found = Captured::Many(vec![value]),
        (false, found) => *found = value,
    }
}

/// Reads the value of one node.
struct Seed<'t, 's, 'a> {
    reader: &'t Reader,
    node: u32,
    slots: &'s mut Slots<'a>,
    many: bool,
}

impl<'a> DeserializeSeed<'a> for Seed<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        let node = &self.reader.nodes[self.node as usize];
        let Some(slot) = node.slot else { return deserializer.deserialize_any(self) };
        let raw = <&'a RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        let captured = capture(raw).map_err(|_| D::Error::custom("invalid text"))?;
        if !node.is_leaf() {
            match captured {
                Captured::Null => {
                    self.reader.fill(self.node, self.slots, self.many, &Captured::Null);
                    return Ok(());
                }
                Captured::Object(_) | Captured::List(_) => {
                    let children = Seed { reader: self.reader, node: self.node, slots: self.slots, many: self.many };
                    let mut parser = serde_json::Deserializer::from_str(raw);
                    parser.deserialize_any(children).map_err(|_| D::Error::custom("nested too deeply"))?;
                }
                _ => {}
            }
        }
        store(self.slots, slot, captured, self.many);
        Ok(())
    }
}

impl<'a> Visitor<'a> for Seed<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let node = &self.reader.nodes[self.node as usize];
        while let Some(child) = map.next_key_seed(KeySeed(node))? {
            match child {
                Some(child) => {
                    map.next_value_seed(Seed { reader: self.reader, node: child, slots: self.slots, many: self.many })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let node = &self.reader.nodes[self.node as usize];
        let Seed { reader, slots, many, .. } = self;
        let plain = node.filtered.is_empty();
        let mut open = vec![true; node.filtered.len()];
        for index in 0.. {
            let more = match (node.element(index), node.each) {
                (Some(child), None) if plain => seq.next_element_seed(Seed { reader, node: child, slots, many })?,
                (None, Some(child)) if plain => seq.next_element_seed(Seed { reader, node: child, slots, many: true })?,
                (None, None) if plain => seq.next_element::<IgnoredAny>()?.map(|_| ()),
                // Several paths may lead into this element: it is read once for each.
                _ => match seq.next_element::<&'a RawValue>()? {
                    Some(raw) => {
                        for (node, each) in node.children(index, raw.get(), &mut open) {
                            let mut parser = serde_json::Deserializer::from_str(raw.get());
                            let seed = Seed { reader, node, slots, many: many || each };
                            seed.deserialize(&mut parser).map_err(|_| A::Error::custom("nested too deeply"))?;
                        }
                        Some(())
                    }
                    None => None,
                },
            };
            if more.is_none() {
                reader.fill_unmatched(node, index, &open, slots, many);
                break;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.reader.fill(self.node, self.slots, self.many, &Captured::Null);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

struct KeySeed<'t>(&'t Node);

impl<'a> DeserializeSeed<'a> for KeySeed<'_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<u32>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<u32>, E> {
        Ok(self.0.key(key))
    }
}

/// What serde_json reports, reduced to words that cannot hold a part of the body.
fn reason_of(error: &serde_json::Error) -> &'static str {
    if error.is_eof() {
        "the JSON ends too early"
    } else if error.to_string().starts_with("recursion limit") || error.to_string().starts_with("nested too deeply") {
        "the JSON is nested too deeply"
    } else {
        "the body is not JSON"
    }
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(paths: &[&str], body: &'a str) -> Slots<'a> {
        let paths: Vec<Path> = paths.iter().map(|p| p.parse().unwrap()).collect();
        Reader::new(&paths).json(body.as_bytes()).unwrap()
    }

    #[test]
    fn absent_null_and_empty_stay_apart() {
        let slots = read(&["a", "b", "c", "d.e", "d.f"], r#"{"b":null,"c":"","d":null}"#);
        assert_eq!(slots[0], Captured::Absent);
        assert_eq!(slots[1], Captured::Null);
        assert_eq!(slots[2], Captured::Text("".into()));
        assert_eq!((&slots[3], &slots[4]), (&Captured::Null, &Captured::Null));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let slots = read(&["n", "m"], r#"{"n":9007199254740993123,"m":0.10}"#);
        assert_eq!(slots, [Captured::Number("9007199254740993123"), Captured::Number("0.10")]);
    }

    #[test]
    fn an_id_may_be_a_text_or_an_object() {
        let paths = &["customer", "customer.id"];
        assert_eq!(read(paths, r#"{"customer":"cus_1"}"#)[0], Captured::Text("cus_1".into()));
        assert_eq!(read(paths, r#"{"customer":{"id":"cus_1"}}"#)[1], Captured::Text("cus_1".into()));
        assert_eq!(read(paths, r#"{"customer":null}"#), [Captured::Null, Captured::Null]);
    }

    #[test]
    fn lists_by_index_and_all() {
        let slots = read(&["a[1].b", "a[*].c", "t[*]"], r#"{"a":[{"c":1},{"b":2,"c":3},{"c":4}],"t":["x","y"]}"#);
        assert_eq!(slots[0], Captured::Number("2"));
        assert_eq!(slots[1], Captured::Many(vec![Captured::Number("1"), Captured::Number("3"), Captured::Number("4")]));
        assert_eq!(slots[2], Captured::Many(vec![Captured::Text("x".into()), Captured::Text("y".into())]));
    }

    #[test]
    fn the_first_element_that_fits() {
        let paths = &["a[k=x].v", "a[o.k=1].v", "a[k=z].v", "a[*].v", "a[0].v", "a[*k=x].v"];
        let slots = read(paths, r#"{"a":[{"k":"y","v":0},{"k":"x","v":1},{"k":"x","v":2,"o":{"k":1}},7]}"#);
        assert_eq!(slots[0], Captured::Number("1"));
        assert_eq!(slots[1], Captured::Number("2"));
        assert_eq!(slots[2], Captured::Unmatched);
        let all = ["0", "1", "2"].map(Captured::Number);
        assert_eq!((&slots[3], &slots[4]), (&Captured::Many(all.to_vec()), &Captured::Number("0")));
        assert_eq!(slots[5], Captured::Many(all[1..].to_vec()));
        assert_eq!(read(paths, r#"{"a":null}"#)[0], Captured::Null);
        assert_eq!(read(&["h[n~=In-Reply-To].v"], r#"{"h":[{"n":"IN-reply-to","v":1}]}"#)[0], Captured::Number("1"));
    }

    #[test]
    fn an_element_that_a_list_lacks_is_unmatched() {
        let slots = read(&["a[0].v", "a[k=x].v", "a[*].v", "b[*].v", "c[1]"], r#"{"a":[],"c":["only"]}"#);
        assert_eq!(slots[..2], [Captured::Unmatched, Captured::Unmatched]);
        assert_eq!(slots[2..], [Captured::Many(vec![]), Captured::Absent, Captured::Unmatched]);
    }

    #[test]
    fn an_error_names_the_position_and_not_the_value() {
        let reader = Reader::new(&["a".parse().unwrap()]);
        assert_eq!(reader.json(b"{\"a\": secret}").unwrap_err(), Unreadable { reason: "the body is not JSON", at: Some(6) });
        assert_eq!(reader.json(b"{\"a\": \"x").unwrap_err().reason, "the JSON ends too early");
        assert_eq!(reader.json(b"\xff").unwrap_err().reason, "the body is not UTF-8");
        assert_eq!(reader.json(b"{} x").unwrap_err().reason, "the body is not JSON");
        let deep = "[".repeat(10_000);
        assert!(reader.json(deep.as_bytes()).is_err());
    }
}
