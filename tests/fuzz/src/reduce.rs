//! Makes a text module smaller while it keeps a property, by deleting and replacing lines.

/// The smallest text found that still has the property.
pub fn reduce(text: &str, keeps: &dyn Fn(&str) -> bool) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    if !keeps(&lines.join("\n")) {
        return format!("{text}\n;; the property does not hold\n");
    }
    loop {
        let before = lines.len();
        let mut size = (lines.len() / 2).max(1);
        loop {
            delete(&mut lines, size, keeps);
            if size == 1 {
                break;
            }
            size /= 2;
        }
        replace(&mut lines, keeps);
        eprintln!("{before} -> {} lines", lines.len());
        if lines.len() == before {
            return lines.join("\n") + "\n";
        }
    }
}

fn delete(lines: &mut Vec<String>, size: usize, keeps: &dyn Fn(&str) -> bool) {
    let mut end = lines.len();
    while end > 0 {
        let start = end.saturating_sub(size);
        let mut candidate = lines.clone();
        candidate.drain(start..end.min(candidate.len()));
        if keeps(&candidate.join("\n")) {
            *lines = candidate;
        }
        end = start;
    }
}

/// Replaces up to six lines by one: what an expression or a block becomes when it does nothing.
fn replace(lines: &mut Vec<String>, keeps: &dyn Fn(&str) -> bool) {
    const PLAIN: [&str; 6] =
        ["drop", "i32.const 0", "i64.const 0", "f32.const 0", "f64.const 0", "unreachable"];
    for size in (2..=6).rev() {
        let mut start = 0;
        while start + size <= lines.len() {
            for plain in PLAIN {
                let mut candidate = lines.clone();
                candidate.splice(start..start + size, [plain.to_string()]);
                if keeps(&candidate.join("\n")) {
                    *lines = candidate;
                    break;
                }
            }
            start += 1;
        }
    }
}
