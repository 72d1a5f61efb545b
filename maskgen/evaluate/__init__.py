"""How well a recognition network knows people, with masks and without. Extra ``[eval]``.

listed = pairlists.read_pairs(path, root)           # or protocols.find(...), or pairs.of_bin of a verification set
pictures = report.collect(names, keys, faces, ...)  # aligned crops, masked on the way
rows, curves = report.evaluate(name, embed.Embedder(path), listed, pictures, conditions)
rows, curves = compare.compare(name, compare.Embeddings(clean, masked), listed, conditions)    # of your own embeddings
tables.markdown(results.EvalReport(...))            # or table, comma_separated, write
"""
