// Checks the links within rendered documentation, of which rustdoc checks only those by name: each
// `FILE#ANCHOR` must lead to an element with that id. `node .ci/prose/anchors.js FOLDER`.
"use strict";

const fs = require("fs");
const path = require("path");

const folder = path.resolve(process.argv[2]);
const pages = fs.readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
const texts = new Map(pages.map((name) => [path.join(folder, name), fs.readFileSync(path.join(folder, name), "utf8")]));
const ids = (text) => new Set(Array.from(text.matchAll(/ id="([^"]+)"/g), (match) => match[1]));
const anchors = new Map(Array.from(texts, ([file, text]) => [file, ids(text)]));

let broken = 0;
for (const [file, text] of texts) {
    for (const [, href] of text.matchAll(/ href="([^"]+)"/g)) {
        const [page, anchor] = href.split("#");
        const target = page ? path.resolve(path.dirname(file), page) : file;
        // Links to other crates and to the source are not checked.
        const isBroken = href.startsWith("crate::") || (anchor && anchors.has(target) && !anchors.get(target).has(anchor));
        if (isBroken) {
            console.log(`${path.relative(folder, file)}: the link to ${href} leads nowhere`);
            broken++;
        }
    }
}
process.exit(broken ? 1 : 0);
