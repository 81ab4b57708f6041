"""People in the loop: real labelers rank responses, write demonstrations and compare runs in a
browser (InstructGPT, appendix B). Needs the extra ``label`` only where a store is opened or a
server started; everything else of preflab stays free of it."""
