"""How well a recognition network knows people, with masks and without. Extra ``[eval]``.

listed = pairlists.read_pairs(path, root)           # or protocols.find(...), or pairs.of_bin of a verification set
pictures = report.collect(names, keys, faces, ...)  # aligned crops, masked on the way
embeddings = report.embedded(pictures, embed.Embedder(path))    # or your own: compare.Embeddings(clean, masked)
rows, curves = compare.compare(name, embeddings, listed, conditions)
tables.markdown(results.EvalReport(...))            # or table, comma_separated, write
"""
