/* Times SqueezeBERT and BERT on the machine it runs on; see `options.c` for the command line. */
#include <signal.h>

#include "bench.h"
#include "fail.h"
#include "machine.h"
#include "result.h"

int main(int count, char **arguments) {
    struct options options = options_read(count, arguments);
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error like any other */
    if (options.lifeline)
        machine_hold_lifeline();
    if (options.cpus)
        machine_pin(options.cpus);
    struct inputs inputs = inputs_read(options.inputs);
    struct bench bench = {
        .options = &options,
        .inputs = &inputs,
        .pool = pool_start(options.threads), /* after the pinning, which threads inherit */
        .models = allocate(options.num_models, sizeof *bench.models),
    };
    for (size_t i = 0; i < options.num_models; i++)
        bench_load(&bench, i);
    bench_rounds(&bench);
    result_print(&bench);
    return 0;
}
