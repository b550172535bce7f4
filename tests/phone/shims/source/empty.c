/* Stands for libtermux-exec.so, which is preloaded in Termux. */
extern int nothing;
