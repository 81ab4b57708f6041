BEGIN TRANSACTION;
CREATE TABLE bodies (
	event INTEGER NOT NULL, 
	salt VARCHAR NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (event)
);
INSERT INTO "bodies" VALUES(1,'e9ed248a9eb30d34cf5b78474df37170','{"settings": {"consent": "", "consent_version": 1, "flags": ["rude", "untrue"], "gold_share": 0.0, "kind": "rank", "languages": ["en"], "lease_seconds": 1800.0, "likert": false, "name": "spring", "pool": "", "retest_after": 20, "retest_share": 0.0, "screening": null, "skip_limit": 3, "skip_reasons": ["not my language", "unclear", "too sensitive", "broken"]}, "tasks": [["t0", "45f1a33c13136f1e41ead3873d34fa2d4ea45029eba46f6ea14d09748cbf16e7"], ["t1", "0ef721f9acf5dca9ea212c1fc4e2fcc8404dba8f56114b1ecfea62572a7f066a"], ["t2", "a0f3b293ea64475b9f65b34fb30e19e15f8cb4efaf868b617d447dc17dc61132"], ["t3", "d0fc3666b49378387b5f3db1798e1020167d6fd0f1623bdebcf032aa6d79a3e2"], ["t4", "e2ed8a0a4b8d25916c7e8a16a13d35159c129675a570a354b8888cc40d62e137"], ["t5", "e04b7688a7fc9174331fa3f245aa17a415abb0ffd38b822521acff2a08d03bd0"], ["t6", "e5e890835d11855ac36e776a850280cc81f9e5e36b14243f63b8bfb54cb5eb0e"], ["t7", "e29dab4a1df7f12fdf70cac3fde1ff910fcf7fb0c84d8144543908c9b5787a1e"]]}');
INSERT INTO "bodies" VALUES(2,'69ae82f1950f94dc182f97dd4ee9590b','{"group": "", "held_out": false, "state": "active"}');
INSERT INTO "bodies" VALUES(3,'d9c6460d651c88850e76c9ebba3381be','{"group": "", "held_out": false, "state": "active"}');
INSERT INTO "bodies" VALUES(4,'adc3344973c2d00e82bea735950818f7','{"group": "", "held_out": false, "state": "active"}');
INSERT INTO "bodies" VALUES(5,'86ca4c757ae3443746b5826dc1530980','{"group": "", "held_out": true, "state": "active"}');
INSERT INTO "bodies" VALUES(6,'8278d57d0352131420e2b9ddee14046c','{"markdown": "# Read this"}');
INSERT INTO "bodies" VALUES(7,'dd44f058ac045ea45344be464ab7fe31','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(8,'20c807ea54fbb694c4f41a96346997fd','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(9,'aeedcc395c1f9d511f8b644d685656e5','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(10,'e93991a144f34bb4e7f732eb6d07306f','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(11,'73b15aa9ce8bf78c10e33e564b664a84','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(12,'803cc795a0a7fe310078939fab635b38','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(13,'823b4a23f9f7751dbe2d68a5e3078ec0','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
INSERT INTO "bodies" VALUES(14,'9837856a5e90c410351718bd91989917','{"answer": {"ranks": [1, 2, 3]}, "order": [0, 1, 2]}');
CREATE TABLE drafts (
	task VARCHAR NOT NULL, 
	labeler VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (task, labeler)
);
INSERT INTO "drafts" VALUES('t5','labeler-2pxe','{"answer": {"notes": "half"}}',51.0);
CREATE TABLE events (
	n INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	at DOUBLE NOT NULL, 
	task VARCHAR, 
	labeler VARCHAR, 
	"key" VARCHAR, 
	seconds DOUBLE, 
	instructions INTEGER, 
	supersedes INTEGER, 
	body VARCHAR NOT NULL, 
	chain VARCHAR NOT NULL, 
	live INTEGER NOT NULL, 
	PRIMARY KEY (n), 
	CONSTRAINT events_key UNIQUE ("key")
);
INSERT INTO "events" VALUES(1,'created',0.0,NULL,NULL,NULL,NULL,NULL,NULL,'05a23a936342439a1f25c6f68c0c8441443cd78979b06e01ec8f3bb6be53d3fd','2463bfce67024b7445e8d402b6614f6452486dad38bf67b77f3f585ca1140dc2',0);
INSERT INTO "events" VALUES(2,'invited',0.0,NULL,'labeler-2pxe',NULL,NULL,NULL,NULL,'1ce54f595332555d8975295911dc6a4c2411218f979a04532d4fd29b19cf0c67','eababf272f0d037789855a9ef8a7180202482dc58f4c036551937509a03870ce',0);
INSERT INTO "events" VALUES(3,'invited',0.0,NULL,'labeler-pppb',NULL,NULL,NULL,NULL,'d88346d4fd05d58a16b22196dbe74a337edf7612d816fc9729137bd91e21288c','bb75f25cddaaf09cd16668449e549405841741cf6a7bfef197437bd0b46f2341',0);
INSERT INTO "events" VALUES(4,'invited',0.0,NULL,'labeler-p6zs',NULL,NULL,NULL,NULL,'45636e563cf7353952a7277143f75624502d5f81fab0c906a6d562a18981066f','cde7709ce48064c2345bacb62d4ef88050ddc6f983d4f1cec8b1850d1b24052a',0);
INSERT INTO "events" VALUES(5,'invited',0.5,NULL,'labeler-seqj',NULL,NULL,NULL,NULL,'27d3a75bf52438a66a19d974abf49643242ae5223895374f45eb4bc3669c7a7d','7cad5c0748a15e3178158c0dfca6df07edad23fc2685ae5f3d47be55bd95a1d1',0);
INSERT INTO "events" VALUES(6,'instructions',0.6,NULL,NULL,NULL,NULL,NULL,NULL,'2c7ed5533f06ec5a688673e0632b46ea9a2f63b04d6e355c5a70520da33a2de6','5eb8b4f3e3269fd6464d3bc27de7098349ab4435343bf08c7a34229e0d1612f4',0);
INSERT INTO "events" VALUES(7,'submitted',2.0,'t0','labeler-2pxe','key-23424-0',5.0,1,NULL,'42e15720afd6dffd2dfdebe2e705a7ddd0e034c5c65e1e5744d9295a8028ff4a','1e318d2b21fb7ae90e27c75f80143aea4c458863a6ccf2104f4121a363317deb',1);
INSERT INTO "events" VALUES(8,'submitted',3.0,'t0','labeler-pppb','key-23424-1',5.0,1,NULL,'7c17e52251fd6d0a9bc452fab1b101b68f4f3531987429a0571a0cb259b5099b','c45a5d6da5965f5c5941db4b98ea4aa920d9b77d40163da42cf083d0c1168464',1);
INSERT INTO "events" VALUES(9,'submitted',4.0,'t1','labeler-p6zs','key-23424-2',5.0,1,NULL,'5422120af53ff22721c0b5f9fd3125c74ab3a8611a120019b4b019d782cfa3f0','2eb3d051e621b4b6cb654351294e21d0ef73c0aa42f97e31b155d773dd518142',1);
INSERT INTO "events" VALUES(10,'submitted',5.0,'t1','labeler-seqj','key-23424-3',5.0,1,NULL,'cbb5958c6ce2df5d02e29058bbee3c9929f0f9321acefa865851cc1f43b1342d','c03797da9b96e333fcf5dfcb928780d31efee23e8af9b6098833bdc58679ec1f',1);
INSERT INTO "events" VALUES(11,'submitted',6.0,'t2','labeler-2pxe','key-23424-4',5.0,1,NULL,'c16bbaa1c3dceeb22fd9fcb8054492b92eec420310d2f2a43077de8c016a5359','0320c32b059c8dd771c22dbf13b6f121d2f867948cd4874c6d3d77ab1a0d9491',1);
INSERT INTO "events" VALUES(12,'submitted',7.0,'t3','labeler-pppb','key-23424-5',5.0,1,NULL,'b2a8e741ff52091b16856b9da95b11f263711c799ceacbc2a0957f790d0426b8','b82bede80f3de900dce3160e4601b83cd9572b2b512c08225668c6f0eee1cd12',1);
INSERT INTO "events" VALUES(13,'submitted',8.0,'t2','labeler-p6zs','key-23424-6',5.0,1,NULL,'ca033f129c4806024b88262157554c3dbdac002d3f31984b584c2d4a05d06146','9854fbce2acd66999739fc0ff2f616da91a620e56f696bdff4a14b4a76ac8fe3',1);
INSERT INTO "events" VALUES(14,'submitted',9.0,'t4','labeler-seqj','key-23424-7',5.0,1,NULL,'a8df3362c9d634e2535fa14d31cb550713ed79a7a1bc8d1189799a918bced9d3','1c259d85c34a9c5b78f84c71d5963e846f779d013c8c8709e55268d4176d9c21',1);
CREATE TABLE head (
	id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	chain VARCHAR NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "head" VALUES(1,14,'1c259d85c34a9c5b78f84c71d5963e846f779d013c8c8709e55268d4176d9c21',9.0);
CREATE TABLE instructions (
	version INTEGER NOT NULL, 
	markdown TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "instructions" VALUES(1,'# Read this',0.6);
CREATE TABLE leases (
	task VARCHAR NOT NULL, 
	labeler VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	until DOUBLE NOT NULL, 
	at DOUBLE NOT NULL, 
	event INTEGER, 
	several INTEGER NOT NULL, 
	PRIMARY KEY (task, labeler)
);
INSERT INTO "leases" VALUES('t0','labeler-2pxe','done',1802.0,2.0,7,1);
INSERT INTO "leases" VALUES('t0','labeler-pppb','done',1803.0,3.0,8,1);
INSERT INTO "leases" VALUES('t1','labeler-p6zs','done',1804.0,4.0,9,1);
INSERT INTO "leases" VALUES('t1','labeler-seqj','done',1805.0,5.0,10,1);
INSERT INTO "leases" VALUES('t2','labeler-2pxe','done',1806.0,6.0,11,1);
INSERT INTO "leases" VALUES('t3','labeler-pppb','done',1807.0,7.0,12,0);
INSERT INTO "leases" VALUES('t2','labeler-p6zs','done',1808.0,8.0,13,1);
INSERT INTO "leases" VALUES('t4','labeler-seqj','done',1809.0,9.0,14,0);
INSERT INTO "leases" VALUES('t5','labeler-2pxe','held',1851.0,50.0,NULL,0);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('settings','{"name": "spring", "kind": "rank", "pool": "", "flags": ["rude", "untrue"], "likert": false, "lease_seconds": 1800.0, "gold_share": 0.0, "retest_share": 0.0, "retest_after": 20, "screening": null, "skip_reasons": ["not my language", "unclear", "too sensitive", "broken"], "skip_limit": 3, "consent": "", "consent_version": 1, "languages": ["en"]}');
INSERT INTO "meta" VALUES('closed','');
INSERT INTO "meta" VALUES('places','6');
CREATE TABLE partners (
	labeler VARCHAR NOT NULL, 
	other VARCHAR NOT NULL, 
	tasks INTEGER NOT NULL, 
	PRIMARY KEY (labeler, other)
);
INSERT INTO "partners" VALUES('labeler-2pxe','labeler-pppb',1);
INSERT INTO "partners" VALUES('labeler-pppb','labeler-2pxe',1);
INSERT INTO "partners" VALUES('labeler-p6zs','labeler-seqj',1);
INSERT INTO "partners" VALUES('labeler-seqj','labeler-p6zs',1);
INSERT INTO "partners" VALUES('labeler-2pxe','labeler-p6zs',1);
INSERT INTO "partners" VALUES('labeler-p6zs','labeler-2pxe',1);
CREATE TABLE people (
	id VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	"group" VARCHAR NOT NULL, 
	held_out INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	token VARCHAR, 
	consent INTEGER NOT NULL, 
	submitted INTEGER NOT NULL, 
	skipped INTEGER NOT NULL, 
	since DOUBLE NOT NULL, 
	last DOUBLE, 
	PRIMARY KEY (id), 
	UNIQUE (token)
);
INSERT INTO "people" VALUES('labeler-2pxe',0,'',0,'active','d5b25aefeea12367df0eec2b105cfe496c1a1bf219db6dd7f87cff7d5ecd75f8',0,2,0,0.0,6.0);
INSERT INTO "people" VALUES('labeler-pppb',1,'',0,'active','7954122dbf3544ef0d88cd120595162c8b2b2fbccb4c86ffaf5a396e6b9d1d49',0,2,0,0.0,7.0);
INSERT INTO "people" VALUES('labeler-p6zs',2,'',0,'active','b0655bc0ee61f5f4bad8ad7b0377187682c82ffa4ee99893e5f3c560022c1a09',0,2,0,0.0,8.0);
INSERT INTO "people" VALUES('labeler-seqj',3,'',1,'active','ebf1c94fd7f0656ed6a7f7b492dccf20613ec7ffac300d1953b6ddca11f194f3',0,2,0,0.5,9.0);
CREATE TABLE tasks (
	id VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	origin VARCHAR NOT NULL, 
	repeats VARCHAR NOT NULL, 
	payload TEXT NOT NULL, 
	want INTEGER NOT NULL, 
	open INTEGER NOT NULL, 
	done INTEGER NOT NULL, 
	skips INTEGER NOT NULL, 
	aside INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "tasks" VALUES('t0',0,'rank','normal','','{"id": "t0", "kind": "rank", "prompt": {"id": "t0", "text": "Prompt 0 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 2, "expected": null, "repeats": ""}',2,0,2,0,0);
INSERT INTO "tasks" VALUES('t1',1,'rank','normal','','{"id": "t1", "kind": "rank", "prompt": {"id": "t1", "text": "Prompt 1 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 2, "expected": null, "repeats": ""}',2,0,2,0,0);
INSERT INTO "tasks" VALUES('t2',2,'rank','normal','','{"id": "t2", "kind": "rank", "prompt": {"id": "t2", "text": "Prompt 2 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 2, "expected": null, "repeats": ""}',2,0,2,0,0);
INSERT INTO "tasks" VALUES('t3',3,'rank','normal','','{"id": "t3", "kind": "rank", "prompt": {"id": "t3", "text": "Prompt 3 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 1, "expected": null, "repeats": ""}',1,0,1,0,0);
INSERT INTO "tasks" VALUES('t4',4,'rank','normal','','{"id": "t4", "kind": "rank", "prompt": {"id": "t4", "text": "Prompt 4 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 1, "expected": null, "repeats": ""}',1,0,1,0,0);
INSERT INTO "tasks" VALUES('t5',5,'rank','normal','','{"id": "t5", "kind": "rank", "prompt": {"id": "t5", "text": "Prompt 5 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 1, "expected": null, "repeats": ""}',1,0,0,0,0);
INSERT INTO "tasks" VALUES('t6',6,'rank','normal','','{"id": "t6", "kind": "rank", "prompt": {"id": "t6", "text": "Prompt 6 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 1, "expected": null, "repeats": ""}',1,1,0,0,0);
INSERT INTO "tasks" VALUES('t7',7,'rank','normal','','{"id": "t7", "kind": "rank", "prompt": {"id": "t7", "text": "Prompt 7 of t.", "user": "", "tags": [], "group": "", "split": "", "notes": {}}, "responses": ["first", "second", "third"], "arms": [], "origin": "normal", "want": 1, "expected": null, "repeats": ""}',1,1,0,0,0);
CREATE INDEX tasks_single ON tasks (n) WHERE open > 0 AND aside = 0 AND want = 1;
CREATE INDEX tasks_fresh ON tasks (n) WHERE open > 0 AND aside = 0 AND want > 1 AND open = want;
CREATE INDEX tasks_started ON tasks (n) WHERE open > 0 AND aside = 0 AND want > 1 AND open < want;
CREATE INDEX ix_tasks_origin ON tasks (origin);
CREATE INDEX leases_several ON leases (labeler, state) WHERE several = 1;
CREATE INDEX leases_labeler ON leases (labeler, state);
CREATE INDEX leases_until ON leases (until) WHERE state = 'held';
CREATE INDEX events_answers ON events (labeler, n) WHERE live = 1;
CREATE UNIQUE INDEX events_one_live_answer ON events (task, labeler) WHERE live = 1;
COMMIT;
