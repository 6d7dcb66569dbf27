// The phrases that hpalloc's documentation and comments avoid, each with what to write instead,
// and the kinds of Markdown nodes in which they are right, if any.
//
// Every pattern is the mark of a sentence that must be read twice, and is almost never right.
// A space in a pattern also matches a line break. Code spans and code blocks are not searched.
"use strict";

module.exports = [
    // Phrases with a usual counterpart.
    [/\b(giv(e|es|en|ing)|gave) (it |them |one |a block |blocks )?back\b/, 'write "free" or "return to the pool", not "give back"'],
    [/\bbehind (the|a|its|their) (block|blocks|end|last|page|pages)\b/, 'write "after" or "past the end of", not "behind"'],
    [/\bat once\b/, 'write "immediately" or "at the same time", not "at once"'],
    [/\bsome \d+/, 'write "about 20", not "some 20"'],
    [/\bin the median\b/, 'write "median" or "the median is", not "in the median"'],
    [/\bto the letter\b/, 'write "verbatim", not "to the letter"'],
    [/\bnobody (uses|used)\b/, 'write "unused", not "nobody uses"'],
    [/\basked for\b/, 'write "requested", not "asked for"'],
    [/\bbut for\b/, 'write "except", not "but for"'],
    [/\bnothing but\b/, 'write "only", not "nothing but"'],
    [/\banew\b/, 'write "again", not "anew"'],
    [/\btak(e|es|en|ing) (it |them )?back\b/, 'say what is freed or returned, not "take back"'],
    [/\balong with it\b|\b(brings?|brought) (it |one )?along\b/, 'write "with it" or "provides", not "along"'],
    [/\b(has|have|had) it not\b/, 'use the normal word order, not "has it not"'],
    // One thing has one name.
    [/\bhardened programs?\b/, 'write "hardened build", not "hardened program"'],
    [/\b(is|are|was|be)(n't| not) hardened\b/, 'write "a build without hardening", not "isn\'t hardened"'],
    // Clauses that make a sentence hard to read.
    [/\b(for|by|of|from) that\.( |$)/, 'name what "that" refers to'],
    [/\bfor that there (is|are)\b/, 'use the normal word order, not "for that there is"'],
    [/(^|[.!?] )There (is|are) none\b/, 'name what does not exist, not "There is none"'],
    [/\bas (large|many|much|long|small|few) as (it is|they are)\b/, 'say what the size depends on, not "as large as it is"'],
    [/\bof (its|their) own\b[^.]*\bof (its|their) own\b/, 'write "of its own" at most once in a sentence'],
    [/^for$|^there is$/, 'head the columns of a table with "If you need" and "use", not "for" and "there is"'],
    // Slips.
    [/\b(the|a|an|of|to|in|is|it|and|or|for|with|that|by|on|are|be) \1\b/, 'delete the double word'],
    // Clauses in the place of a noun or of a verb. A heading may be one.
    [/(^|[.:!?] )What (is|are|was|it|they|one|a|an|the|has|have|can)\b(?![^.!?]*\?)/, 'start with the noun: "Freed memory is ..", not "What is freed is .."', ["Header"]],
    [/(^|[.!?] )Where (it|they|there|a|an|the) (?![^.!?]*\?)/, 'write "If .." or name the place, not "Where it .."', ["Header", "Link"]],
    [/(^|[.!?] )(Whether|That) (it|its|they|a|an|the|there|all|no)\b[^,.]*\.( |$)/, 'start with a verb: "Returns `true` if ..", not "Whether it .."', ["Header"]],
];
