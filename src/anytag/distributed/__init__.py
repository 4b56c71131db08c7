"""Work in shards on one machine or many: what is done stays done, whatever is killed.

    job       a plan on disk, its shards, and their parts (`Job`)
    worker    one shard at a time, in a process that may die (`ShardWorker`)
    pool      all missing shards of a step, here or anywhere (`run_shards_on`)
    on_ray    the pool of Ray Data actors (`RayPool`)
    lost_nodes  what is said when a cluster shrinks
    storage   files that were there when the job was planned and are not now

A shard is a number. Who makes it (`Make`) reads what it needs from files and writes files, all at
once by renaming; only counts travel between processes. So a shard can be made twice without harm,
and the object store of a cluster stays empty.

All nodes must see the inputs, the output and the working folder under the same names.
"""
